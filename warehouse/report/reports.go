package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"bookstore/warehouse/reports"
)

// definition is one of the files in warehouse/reports.
type definition struct {
	name, question, about string
	since                 string
	limit                 int
	chart                 *chart
	sql                   string
}

// all returns the reports by name.
func all() ([]definition, error) {
	entries, err := reports.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var found []definition
	for _, e := range entries {
		if e.Name() == "prelude.sql" {
			continue
		}
		text, err := reports.Files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		d, err := define(strings.TrimSuffix(e.Name(), path.Ext(e.Name())), string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		found = append(found, d)
	}
	return found, nil
}

// define reads the comment at the head of a report; see package reports.
func define(name, text string) (definition, error) {
	d := definition{name: name, since: "30d", sql: strings.TrimSpace(text)}
	var about []string
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(line, "-- ")
		if !ok {
			break
		}
		comment = strings.TrimSpace(comment)
		key, value, _ := strings.Cut(comment, ": ")
		var err error
		switch {
		case d.question == "":
			d.question = comment
		case key == "since":
			d.since = value
		case key == "limit":
			d.limit, err = strconv.Atoi(value)
		case key == "chart":
			d.chart, err = parseChart(value)
		default:
			about = append(about, comment)
		}
		if err != nil {
			return d, fmt.Errorf("%s: %w", comment, err)
		}
	}
	d.about = strings.Join(about, " ")
	return d, nil
}

func find(name string) (definition, error) {
	reports, err := all()
	if err != nil {
		return definition{}, err
	}
	for _, d := range reports {
		if d.name == name {
			return d, nil
		}
	}
	slices.SortStableFunc(reports, func(a, b definition) int { return cmp.Compare(distance(name, a.name), distance(name, b.name)) })
	return definition{}, fmt.Errorf(`there is no report %q; near it are %s, %s and %s, and "report list" shows all`,
		name, reports[0].name, reports[1].name, reports[2].name)
}

// distance counts the pairs of neighbouring letters that only one of two names has.
func distance(a, b string) int {
	pairs := map[string]int{}
	for i := range len(a) - 1 {
		pairs[a[i:i+2]]++
	}
	for i := range len(b) - 1 {
		pairs[b[i:i+2]]--
	}
	n := 0
	for _, times := range pairs {
		n += max(times, -times)
	}
	return n
}

func list(out io.Writer) error {
	reports, err := all()
	if err != nil {
		return err
	}
	t := newTable(out, []column{{Name: "report"}, {Name: "answers"}, {Name: "since"}, {Name: "limit", Number: true}})
	for _, d := range reports {
		limit := "all"
		if d.limit > 0 {
			limit = strconv.Itoa(d.limit)
		}
		err = errors.Join(err, t.row([]*string{&d.name, &d.question, &d.since, &limit}))
	}
	return errors.Join(err, t.end())
}
