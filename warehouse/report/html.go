package report

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rivo/uniseg"
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

// chart says how an answer is drawn: `bar title copies by currency`.
type chart struct {
	kind   string   // bar: one below the other; columns: one beside the other
	labels []string // columns whose values name a mark
	value  string   // column that a mark is long by
	by     []string // columns of whose values each has a drawing of its own: money of two currencies has no common scale
}

// drawing is a chart as page.html needs it, in the units of its viewBox.
type drawing struct {
	Title, Kind   string
	Width, Height float64
	Marks         []mark
	Top           string // the largest value, as columns have it at their axis
}

type mark struct {
	Label, Short, Value string
	X, Y, W, H          float64
	Middle              float64 // of the mark along the axis of its label
	Named               bool    // its label has room
}

// What a page has room for.
const (
	maxDrawings = 12
	maxBars     = 30
	maxLabel    = 34 // in columns of text
	width       = 720.0
)

func parseChart(text string) (*chart, error) {
	text, by, _ := strings.Cut(text, " by ")
	words := strings.Fields(text)
	if len(words) != 3 || (words[0] != "bar" && words[0] != "columns") {
		return nil, errors.New("a chart is: bar or columns, labels, value")
	}
	return &chart{words[0], strings.Split(words[1], ","), words[2], strings.Fields(by)}, nil
}

// draw makes the drawings of an answer.
func (c *chart) draw(columns []column, rows [][]*string) []drawing {
	if c == nil {
		return nil
	}
	cell := func(row []*string, names []string, glue string) string {
		var texts []string
		for _, name := range names {
			i := slices.IndexFunc(columns, func(c column) bool { return c.Name == name })
			if i < 0 || row[i] == nil {
				texts = append(texts, "∅")
			} else {
				texts = append(texts, plain(*row[i]))
			}
		}
		return strings.Join(texts, glue)
	}
	var drawings []drawing
	for _, row := range rows {
		title := strings.TrimSpace(c.value + " " + cell(row, c.by, " "))
		title = strings.ReplaceAll(title, "_", " ")
		i := slices.IndexFunc(drawings, func(d drawing) bool { return d.Title == title })
		if i < 0 && len(drawings) == maxDrawings {
			continue
		}
		if i < 0 {
			i, drawings = len(drawings), append(drawings, drawing{Title: title, Kind: c.kind})
		}
		if c.kind == "columns" || len(drawings[i].Marks) < maxBars {
			label := cell(row, c.labels, " + ")
			drawings[i].Marks = append(drawings[i].Marks, mark{Label: label, Short: short(label), Value: cell(row, []string{c.value}, "")})
		}
	}
	for i := range drawings {
		drawings[i].place()
	}
	return drawings
}

// place gives the marks their places and sizes.
func (d *drawing) place() {
	const names, room, high, figures = 270.0, 340.0, 180.0, 20.0
	most, n := 0.0, float64(len(d.Marks))
	for _, m := range d.Marks {
		if v := size(m.Value); v > most {
			most, d.Top = v, m.Value
		}
	}
	d.Width, d.Height = width, 24*n
	if d.Kind == "columns" {
		d.Height = high + 2*figures
	}
	every := math.Ceil(n / 9) // labels of columns stand this far apart
	for i := range d.Marks {
		m, part := &d.Marks[i], 0.0
		if most > 0 {
			part = size(m.Value) / most
		}
		if d.Kind == "columns" {
			step := width / n
			m.H, m.W = high*part, min(step*0.8, 60)
			m.X, m.Y = step*float64(i)+(step-m.W)/2, figures+high-m.H
			m.Middle, m.Named = m.X+m.W/2, math.Mod(float64(i), every) == 0
		} else {
			m.X, m.Y, m.W, m.H = names, 24*float64(i)+4, room*part, 16
			m.Middle, m.Named = m.Y+m.H/2, true
		}
	}
}

// size is a value as a length; what is less than nothing has none.
func size(value string) float64 {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return max(0, v)
}

// short is the beginning of a label that is too long.
func short(label string) string {
	if uniseg.StringWidth(label) <= maxLabel {
		return label
	}
	var b strings.Builder
	used := 0
	for letters := uniseg.NewGraphemes(label); letters.Next() && used+letters.Width() < maxLabel; {
		used += letters.Width()
		b.WriteString(letters.Str())
	}
	return b.String() + "…"
}

// After tells where a mark's value is written.
func (m mark) After() string { return fmt.Sprintf("%.1f", m.X+m.W+6) }
