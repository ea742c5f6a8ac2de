package catalogue

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// rowReader splits a CSV into rows (RFC 4180, with any separator). A row that is
// broken costs its first line alone: reading goes on with the line after, also
// where a stray quote has taken further lines into the row.
type rowReader struct {
	lines lineReader
	ahead []physicalLine // read already: the lines of the row at hand, and those given back
	taken int            // how many of ahead belong to the row at hand
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

// begin takes the first line of a row. Blank lines are no rows.
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

// line takes one more line for the row at hand.
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

// reject gives back all lines of the row but the first, which is bad: because of
// what was found in it, or in the line at which its open quote met something
// that cannot be.
func (r *rowReader) reject(first, found physicalLine, reason string) *BadRow {
	r.ahead = r.ahead[1:]
	if found.number > first.number {
		reason = fmt.Sprintf("a quote is opened and not closed; on line %d: %s", found.number, reason)
	}
	return &BadRow{first.number, reason}
}

// position is the line that the next row is looked for on.
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
	open   bool            // a quoted field goes on in the next line
	field  strings.Builder // that field as far as it was read
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

// padded reads a field in quotes with blanks around them, as hand-written files
// have: within one line, so that no stray quote behind a blank takes in more.
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
