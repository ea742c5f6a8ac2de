package report

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

// page is an answer as one file that needs no other, no network and no JavaScript.
type page struct {
	Title, Question, About, Period string
	Query                          string // of someone's own
	chart                          *chart
	Drawings                       []drawing
	Sections                       []section
}

// section is a table of a page.
type section struct {
	Title, About string
	Columns      []column
	Rows         [][]*string
}

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"plain": plain}).Parse(pageHTML))

func (v *version) html(ctx context.Context, query string, p page, out io.Writer) error {
	const most = 5000 // rows that a browser shows at once
	var s section
	n := 0
	err := v.rows(ctx, query, func(c []column) { s.Columns = c }, func(row []*string) error {
		if n++; n <= most {
			s.Rows = append(s.Rows, row)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n > most {
		p.Period += fmt.Sprintf("; only the first %d of %d rows", most, n)
	}
	p.Sections, p.Drawings = []section{s}, p.chart.draw(s.Columns, s.Rows)
	return pageTemplate.Execute(out, p)
}
