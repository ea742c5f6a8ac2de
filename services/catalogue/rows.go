package catalogue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// rowReader splits a CSV into rows (RFC 4180, with any separator). Of a
// broken row only the first line is lost: reading goes on with the line after it,
// even if a stray quote has taken further lines into the row.
type rowReader struct {
	lines lineReader
	ahead []physicalLine // lines read: those of the current row, and those given back
	taken int            // how many of ahead belong to the current row
	sep   byte
	shape *shape // nil while the header is read
}

// next returns the fields of the next row and the line it begins on. A *BadRow
// says that this line is broken; io.EOF ends the file; any other error is the
// reader's own.
func (r *rowReader) next() (fields []string, line int, err error) {
	first, err := r.begin()
	if err != nil {
		return nil, 0, err
	}
	p := rowParser{sep: r.sep}
	size := 0
	for l := first; ; {
		size += len(l.text) + len(l.end)
		if l.long || size > maxRow {
			return nil, 0, r.reject(first, l, "row is longer than 64 KiB")
		}
		if reason := p.add(l.text); reason != "" {
			return nil, 0, r.reject(first, l, reason)
		}
		if !p.open {
			if l.number > first.number && r.shape.closesAnother(first.text, l.text, r.sep) {
				return nil, 0, r.reject(first, l, "this looks like a row of its own")
			}
			r.ahead = r.ahead[r.taken:]
			return p.fields, first.number, nil
		}
		if l.number > first.number && r.shape.isRow(l.text, r.sep) {
			return nil, 0, r.reject(first, l, "this looks like a row of its own")
		}
		p.lineBreak(l.end)
		l, err = r.line()
		if errors.Is(err, io.EOF) {
			return nil, 0, r.reject(first, first, "a quote is opened and never closed")
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// begin takes the first line of a row and skips blank lines.
func (r *rowReader) begin() (physicalLine, error) {
	for {
		r.taken = 0
		l, err := r.line()
		if err != nil || strings.TrimSpace(l.text) != "" {
			return l, err
		}
		r.ahead = r.ahead[1:]
	}
}

// line takes one more line for the current row.
func (r *rowReader) line() (physicalLine, error) {
	if r.taken == len(r.ahead) {
		l, err := r.lines.next()
		if err != nil {
			return l, err
		}
		r.ahead = append(r.ahead, l)
	}
	r.taken++
	return r.ahead[r.taken-1], nil
}

// reject gives back all lines of the row but the first, which is bad: found is the
// line with the error, the first itself or one that its open quote took in.
func (r *rowReader) reject(first, found physicalLine, reason string) *BadRow {
	r.ahead = r.ahead[1:]
	if found.number > first.number {
		reason = fmt.Sprintf("a quote is opened and not closed; on line %d: %s", found.number, reason)
	}
	return &BadRow{first.number, reason}
}

// position is the line on which the next row may begin.
func (r *rowReader) position() int {
	if len(r.ahead) > 0 {
		return r.ahead[0].number
	}
	return r.lines.number + 1
}

// rowParser takes a row line by line.
type rowParser struct {
	sep    byte
	fields []string
	open   bool            // a quoted field continues in the next line
	field  strings.Builder // the part of that field read so far
}

// add takes a line without its line break. A reason says that it cannot be part
// of the row.
func (p *rowParser) add(text string) (reason string) {
	for {
		if !p.open {
			field, rest, more, ok := p.padded(text)
			if !ok {
				text, p.open = strings.CutPrefix(text, `"`)
				field, rest, more = strings.Cut(text, string(p.sep))
			}
			switch {
			case p.open: // read below
			case !ok && strings.Contains(field, `"`):
				return "a quote inside a field that does not begin with one"
			case more:
				p.fields, text = append(p.fields, field), rest
				continue
			default:
				p.fields = append(p.fields, field)
				return ""
			}
		}
		part, rest, closed := strings.Cut(text, `"`)
		p.field.WriteString(part)
		if !closed {
			return ""
		}
		if strings.HasPrefix(rest, `"`) {
			p.field.WriteByte('"')
			text = rest[1:]
			continue
		}
		p.open = false
		p.fields = append(p.fields, p.field.String())
		p.field.Reset()
		if rest == "" {
			return ""
		}
		if rest[0] != p.sep {
			return "text after a closing quote"
		}
		text = rest[1:]
	}
}

// padded reads a field in quotes with blanks around them, as in hand-written
// files. It must end in the same line, so that a stray quote after a blank takes in
// no further lines.
func (p *rowParser) padded(text string) (field, rest string, more, ok bool) {
	blanks := strings.ReplaceAll(" \t", string(p.sep), "")
	inner, quoted := strings.CutPrefix(strings.TrimLeft(text, blanks), `"`)
	for quoted {
		part, behind, closed := strings.Cut(inner, `"`)
		if !closed {
			break
		}
		field += part
		if inner, quoted = strings.CutPrefix(behind, `"`); quoted {
			field += `"`
			continue
		}
		behind = strings.TrimLeft(behind, blanks)
		rest, more = strings.CutPrefix(behind, string(p.sep))
		return field, rest, more, more || behind == ""
	}
	return "", "", false, false
}

// lineBreak takes a line break inside a quoted field.
func (p *rowParser) lineBreak(end string) { p.field.WriteString(end) }

// maxRow bounds the bytes of one row, quoted line breaks included. A quote that
// is never closed would otherwise take the rest of the file into memory.
const maxRow = 64 << 10

// physicalLine is a line as an editor shows it: it ends with LF, CR LF, or a
// CR alone. U+2028, form feeds and the like are characters of a line.
type physicalLine struct {
	number int
	text   string
	end    string // the line break; "" at the end of the file
	long   bool   // text was cut at maxRow
}

// lineReader splits a file into lines.
type lineReader struct {
	in     *bufio.Reader
	number int // of the last line
}

// next returns the next line, io.EOF after the last.
func (l *lineReader) next() (physicalLine, error) {
	var text []byte
	line := physicalLine{number: l.number + 1}
	for begun := false; ; begun = true {
		if _, err := l.in.Peek(1); err != nil {
			if !errors.Is(err, io.EOF) || !begun {
				return physicalLine{}, err
			}
			break
		}
		buffered, _ := l.in.Peek(l.in.Buffered()) // cannot fail
		n := lineBreak(buffered)
		room := maxRow - len(text)
		line.long = line.long || n > room
		text = append(text, buffered[:min(n, room)]...)
		ended := n < len(buffered)
		if ended {
			line.end = string(buffered[n : n+1])
			n++
		}
		_, _ = l.in.Discard(n)
		if ended {
			break
		}
	}
	if line.end == "\r" {
		if following, err := l.in.Peek(1); err == nil && following[0] == '\n' {
			_, _ = l.in.Discard(1)
			line.end = "\r\n"
		}
	}
	l.number++
	line.text = string(text)
	return line, nil
}

// lineBreak is where the first line break is, len(b) without one.
func lineBreak(b []byte) int {
	for i, c := range b {
		if c == '\n' || c == '\r' {
			return i
		}
	}
	return len(b)
}
