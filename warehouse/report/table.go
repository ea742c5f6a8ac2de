package report

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// table writes rows as text in columns. They are as wide as the first rows need; wider ones that come later
// stand out, so that any number of rows can be written.
type table struct {
	out     *bufio.Writer
	columns []column
	first   [][]string
	widths  []int // nil until the first rows are written
	rows    int
}

const firstRows = 1000

func newTable(out io.Writer, columns []column) *table {
	return &table{out: bufio.NewWriter(out), columns: columns}
}

// row adds a row; nil is null.
func (t *table) row(values []*string) error {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = "∅"
		if v != nil {
			cells[i] = plain(*v)
		}
	}
	t.rows++
	if t.widths != nil {
		return t.line(cells)
	}
	if t.first = append(t.first, cells); len(t.first) < firstRows {
		return nil
	}
	return t.begin()
}

// begin writes the head and the first rows.
func (t *table) begin() error {
	head, rule := make([]string, len(t.columns)), make([]string, len(t.columns))
	t.widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		head[i] = plain(c.Name)
		t.widths[i] = uniseg.StringWidth(head[i])
		for _, cells := range t.first {
			t.widths[i] = max(t.widths[i], uniseg.StringWidth(cells[i]))
		}
		rule[i] = strings.Repeat("─", t.widths[i])
	}
	err := errors.Join(t.line(head), t.line(rule))
	for _, cells := range t.first {
		err = errors.Join(err, t.line(cells))
	}
	t.first = nil
	return err
}

func (t *table) line(cells []string) error {
	var b strings.Builder
	for i, cell := range cells {
		gap := strings.Repeat(" ", max(0, t.widths[i]-uniseg.StringWidth(cell)))
		if i > 0 {
			b.WriteString("  ")
		}
		if t.columns[i].Number {
			b.WriteString(gap + cell)
		} else {
			b.WriteString(cell + gap)
		}
	}
	_, err := t.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	return err
}

// end writes what is left, and how many rows there were.
func (t *table) end() error {
	var err error
	if t.widths == nil {
		err = t.begin()
	}
	noun := "rows"
	if t.rows == 1 {
		noun = "row"
	}
	_, e := fmt.Fprintf(t.out, "(%d %s)\n", t.rows, noun)
	return errors.Join(err, e, t.out.Flush())
}
