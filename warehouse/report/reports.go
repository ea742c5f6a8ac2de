package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/money"
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

// prepare runs the prelude and sets the period, which it returns in words.
func (v *version) prepare(ctx context.Context, o options) (string, error) {
	cut := "timestamptz " + catalogue.Literal(v.at.Format(time.RFC3339Nano))
	until := cut
	if o.until != "" {
		until = instant(o.until, cut)
	}
	prelude, err := reports.Files.ReadFile("prelude.sql")
	if err != nil {
		return "", err
	}
	// Versions of before have no such macro of their own.
	decimals := "create or replace temp macro decimals(currency) as " + money.Decimals() + ";\n"
	if _, err := v.conn.ExecContext(ctx, decimals+string(prelude)); err != nil {
		return "", fmt.Errorf("prelude.sql: %w", err)
	}
	for _, s := range []string{"set variable until = " + until, "set variable since = " + instant(o.since, "getvariable('until')")} {
		if _, err := v.conn.ExecContext(ctx, s); err != nil {
			return "", fmt.Errorf("the time asked for (%s to %s): %w", o.since, o.until, err)
		}
	}
	var period string
	err = v.conn.QueryRowContext(ctx, `select strftime(getvariable('since'), '%Y-%m-%d %H:%M') || ' to ' || strftime(getvariable('until'), '%Y-%m-%d %H:%M')`).Scan(&period)
	if o.since == "all" {
		_, period, _ = strings.Cut(period, " to ")
		period = "all to " + period
	}
	return fmt.Sprintf("%s (%s), in run %s", period, v.zone, v.run), err
}

var ago = regexp.MustCompile(`^([0-9]{1,5})([hdwmy])$`)

// instant is a time of a flag as SQL. How long ago it was is counted from end; but for hours, from the
// beginning of that day.
func instant(text, end string) string {
	units := map[string]string{"h": "hours", "d": "days", "w": "weeks", "m": "months", "y": "years"}
	m := ago.FindStringSubmatch(text)
	switch {
	case text == "all":
		return "timestamptz 'epoch'"
	case m == nil:
		return "cast(" + catalogue.Literal(text) + " as timestamptz)"
	case m[2] == "h":
		return fmt.Sprintf("%s - interval '%s hours'", end, m[1])
	}
	return fmt.Sprintf("date_trunc('day', %s - interval '%s %s')", end, m[1], units[m[2]])
}
