package catalogue

import (
	"slices"
	"strings"
)

// shape is the form of a file's rows, taken from its header. It distinguishes a line
// of a longer quoted text from a row that a stray quote has taken in.
type shape struct {
	width    int   // columns of the header
	required []int // columns that no row leaves empty
}

// isRow tells whether a line inside quotes is a row of its own: it has a row's cells,
// and not all of them begin with a blank, as after the commas of a sentence.
func (s *shape) isRow(text string, sep byte) bool {
	if s == nil {
		return false
	}
	cells := looseCells(text, sep)
	return s.fits(cells) && slices.ContainsFunc(cells[1:], func(c string) bool { return c != "" && c[0] != ' ' })
}

// closesAnother tells whether the line that closes a quote does so by a stray
// quote of its own: both it and the line that opened the quote then are rows by
// themselves. The last line of a text, with the cells that follow it, may look
// like a row too, but the first does not at the same time.
func (s *shape) closesAnother(first, last string, sep byte) bool {
	if s == nil {
		return false
	}
	row := func(cells []string) bool { return s.fits(cells) && (len(cells) > s.width || blanks(cells) == 0) }
	return row(looseCells(first, sep)) && row(looseCells(last, sep))
}

// fits tells whether the cells can be those of a row. More cells than the header
// has are a broken row, unless most of them begin with a blank: then they are text.
func (s *shape) fits(cells []string) bool {
	if len(cells) > s.width && 2*blanks(cells) >= len(cells) {
		return false
	}
	return !slices.ContainsFunc(s.required, func(column int) bool {
		return column >= len(cells) || strings.TrimSpace(cells[column]) == ""
	})
}

// blanks counts the cells behind the first that begin with a blank.
func blanks(cells []string) (n int) {
	for _, c := range cells[1:] {
		if strings.HasPrefix(c, " ") {
			n++
		}
	}
	return n
}

// looseCells splits one line into cells. A quote without its pair in the line is an
// ordinary character.
func looseCells(text string, sep byte) (cells []string) {
	for {
		end := -1
		if strings.HasPrefix(text, `"`) {
			end = pairedQuote(text, sep)
		}
		if end < 0 {
			end = strings.IndexByte(text, sep)
		}
		if end < 0 || end == len(text) {
			return append(cells, text)
		}
		cells = append(cells, text[:end])
		text = text[end+1:]
	}
}

// pairedQuote is where the separator behind a quoted field is, len(text) when
// the field is the last, -1 when its quote is not paired.
func pairedQuote(text string, sep byte) int {
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		switch {
		case i+1 == len(text):
			return i + 1
		case text[i+1] == '"':
			i++
		case text[i+1] == sep:
			return i + 1
		default:
			return -1
		}
	}
	return -1
}
