package report

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"strings"
)

// bom tells Excel that a file is UTF-8; it takes it for the system's own code page else.
const bom = "\ufeff"

// csv writes an answer as CSV (RFC 4180): null is empty, an empty text is "".
func (v *version) csv(ctx context.Context, query string, out io.Writer) error {
	w := bufio.NewWriter(out)
	var columns []column
	err := v.rows(ctx, query, func(found []column) {
		columns = found
		for i, c := range columns {
			separate(w, i)
			_, _ = w.WriteString(quoted(harmless(c.Name))) // the error is the next flush's
		}
		_ = w.WriteByte('\n')
	}, func(row []*string) error {
		for i, cell := range row {
			separate(w, i)
			switch {
			case cell == nil:
			case columns[i].Text:
				_, _ = w.WriteString(quoted(harmless(*cell)))
			default:
				_, _ = w.WriteString(quoted(*cell))
			}
		}
		return w.WriteByte('\n')
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

func separate(w *bufio.Writer, i int) {
	if i > 0 {
		_ = w.WriteByte(',')
	}
}

// quoted is a cell in quotes where it needs them. Those with a semicolon or a tab do: in many languages a spreadsheet
// begins a new cell there.
func quoted(cell string) string {
	if cell != "" && !strings.ContainsAny(cell, "\",;\t\r\n") && strings.TrimSpace(cell) == cell {
		return cell
	}
	return `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
}

// formula is the beginning of what a spreadsheet runs: = + - @, also in their wide and small forms, behind whatever it
// passes over; a tab or a line end at the beginning, since it is passed over too. Behind a semicolon, a tab or a line end
// it may begin a cell of its own, see quoted.
var formula = regexp.MustCompile("(^|[;\t\r\n])([\\s\"'\u2018\u2019\u201c\u201d`\\p{Z}\\p{Cc}\\p{Cf}]*[=+\\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]|^[\t\r\n])")

// harmless is a text that no spreadsheet takes for a formula: an apostrophe before it says that it is text.
func harmless(text string) string { return formula.ReplaceAllString(text, "${1}'${2}") }
