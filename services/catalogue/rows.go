package catalogue

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// maxRow bounds the bytes of one row, quoted line breaks included. A quote that is never
// closed would otherwise swallow the rest of the file into memory.
const maxRow = 64 << 10

// rowReader splits a CSV into rows and never loses more than one line to a broken one:
// encoding/csv alone reads on to the end of the file after a stray quote.
type rowReader struct {
	in      *bufio.Reader
	pending []physicalLine // lines taken back after a row that did not parse
	line    int            // number of the last line read from in
}

type physicalLine struct {
	number int
	text   string
	long   bool // cut at maxRow
}

func newRowReader(r io.Reader) *rowReader {
	return &rowReader{in: bufio.NewReaderSize(r, maxRow)}
}

// next returns the fields of the next row and the line it begins on. A *BadRow says that
// this one row is broken; io.EOF ends the file; any other error is the reader's own.
func (r *rowReader) next() (fields []string, line int, err error) {
	first, err := r.skipBlank()
	if err != nil {
		return nil, 0, err
	}
	if first.long {
		return nil, 0, &BadRow{first.number, "row is longer than 64 KiB"}
	}
	lines, closed, err := r.gather(first)
	if err != nil {
		return nil, 0, err
	}
	if !closed {
		r.takeBack(lines[1:])
		return nil, 0, &BadRow{first.number, "a quote is opened and never closed"}
	}
	fields, err = parse(lines)
	if err != nil {
		r.takeBack(lines[1:])
		return nil, 0, &BadRow{first.number, "not valid CSV: " + err.Error()}
	}
	return fields, first.number, nil
}

func (r *rowReader) skipBlank() (physicalLine, error) {
	for {
		l, err := r.readLine()
		if err != nil || strings.TrimSpace(l.text) != "" {
			return l, err
		}
	}
}

// gather adds lines to first until every quote is closed. Doubled quotes count twice, so
// the parity of quotes is all that has to be known.
func (r *rowReader) gather(first physicalLine) (lines []physicalLine, closed bool, err error) {
	lines = []physicalLine{first}
	open := strings.Count(first.text, `"`)%2 == 1
	size := len(first.text)
	for open {
		l, err := r.readLine()
		if errors.Is(err, io.EOF) {
			return lines, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		lines = append(lines, l)
		size += len(l.text)
		if l.long || size > maxRow {
			return lines, false, nil
		}
		open = strings.Count(l.text, `"`)%2 == 0
	}
	return lines, true, nil
}

func (r *rowReader) takeBack(lines []physicalLine) {
	r.pending = append(append([]physicalLine(nil), lines...), r.pending...)
}

func (r *rowReader) readLine() (physicalLine, error) {
	if len(r.pending) > 0 {
		l := r.pending[0]
		r.pending = r.pending[1:]
		return l, nil
	}
	text, err := r.in.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return physicalLine{}, err
	}
	r.line++
	l := physicalLine{number: r.line, text: string(text)}
	for errors.Is(err, bufio.ErrBufferFull) {
		l.long = true
		_, err = r.in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return physicalLine{}, err
	}
	return l, nil
}

func parse(lines []physicalLine) ([]string, error) {
	var text strings.Builder
	for _, l := range lines {
		text.WriteString(l.text)
	}
	c := csv.NewReader(strings.NewReader(text.String()))
	c.FieldsPerRecord = -1
	fields, err := c.Read()
	if pe, ok := errors.AsType[*csv.ParseError](err); ok {
		return nil, pe.Err // its line numbers count from the row, not from the file
	}
	return fields, err
}
