package catalogue

import (
	"bufio"
	"errors"
	"io"
)

// maxRow bounds the bytes of one row, quoted line breaks included. A quote that
// is never closed would otherwise take the rest of the file into memory.
const maxRow = 64 << 10

// physicalLine is a line as an editor shows it: what ends with LF, CR LF, or a
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
		buffered, _ := l.in.Peek(l.in.Buffered()) // what is buffered is there
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
