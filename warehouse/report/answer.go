package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/money"
)

// column is a column of an answer.
type column struct {
	Name   string
	Number bool // is read from its right end
	Text   bool // may be anything that somebody wrote
	Money  bool // has the decimals of the row's currency
}

var (
	number = regexp.MustCompile(`^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*\))$`)
	// fixed are the types whose values cannot be of somebody's choosing.
	fixed = regexp.MustCompile(`^(BOOLEAN|UUID|DATE|TIME.*|INTERVAL)$`)
)

// answer writes what a query comes to. Whatever else a statement may do, it cannot within parentheses.
func (v *version) answer(ctx context.Context, query, format string, p page, out io.Writer) error {
	switch format {
	case "", "table", "txt":
		if p.Question != "" {
			if _, err := fmt.Fprintf(out, "%s\n%s\n\n", p.Question, p.Period); err != nil {
				return err
			}
		}
		return v.table(ctx, query, out)
	case "html":
		return v.html(ctx, query, p, out)
	case "csv":
		return v.csv(ctx, query, out)
	case "json", "parquet":
		return v.copy(ctx, query, format, out)
	}
	return fmt.Errorf("the format %q is none of table, csv, json, parquet, html", format)
}

// around puts a query, which may end in a comment, between parentheses.
func around(before, query, after string) string { return before + "\n" + query + "\n" + after }

// copy has DuckDB write the file, and passes it on.
func (v *version) copy(ctx context.Context, query, format string, out io.Writer) error {
	path := filepath.Join(v.temp, "answer")
	how := map[string]string{"json": "json, array", "parquet": "parquet, compression zstd"}[format]
	if _, err := v.conn.ExecContext(ctx, around("copy (from (", query, ")) to "+catalogue.Literal(path)+" (format "+how+")")); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	_, err = io.Copy(out, file)
	return err
}

// rows calls begin with the columns of a query, and each with every row as text; nil is null.
func (v *version) rows(ctx context.Context, query string, begin func([]column), each func([]*string) error) (err error) {
	types, err := v.conn.QueryContext(ctx, around("select column_name, column_type from (describe from (", query, "))"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, types.Close()) }()
	var columns []column
	currency := -1
	for types.Next() {
		var name, kind string
		if err := types.Scan(&name, &kind); err != nil {
			return err
		}
		if name == "currency" {
			currency = len(columns)
		}
		columns = append(columns, column{
			Name: name, Number: number.MatchString(kind), Text: !number.MatchString(kind) && !fixed.MatchString(kind), Money: kind == money.Type,
		})
	}
	if err := errors.Join(types.Err(), types.Close()); err != nil {
		return err
	}
	begin(columns)
	found, err := v.conn.QueryContext(ctx, around("select cast(columns(*) as varchar) from (", query, ")"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		values, into := make([]*string, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			return err
		}
		if currency >= 0 && values[currency] != nil {
			showMoney(columns, values, *values[currency])
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return found.Err()
}

func showMoney(columns []column, values []*string, currency string) {
	for i, c := range columns {
		if c.Money && values[i] != nil {
			shown := money.Show(*values[i], currency)
			values[i] = &shown
		}
	}
}

func (v *version) table(ctx context.Context, query string, out io.Writer) error {
	var t *table
	err := v.rows(ctx, query, func(c []column) { t = newTable(out, c) }, func(row []*string) error { return t.row(row) })
	if err != nil {
		return err
	}
	return t.end()
}

// write has a file of that name made, which is there whole or not at all; without a name, it is stdout.
func (o options) write(stdout io.Writer, fill func(io.Writer) error) error {
	if o.bom {
		if o.format != "csv" {
			return fmt.Errorf("--bom is for --format csv, not for %q", o.format)
		}
		rest := fill
		fill = func(w io.Writer) error {
			if _, err := io.WriteString(w, bom); err != nil {
				return err
			}
			return rest(w)
		}
	}
	if o.out == "" {
		return fill(stdout)
	}
	file, err := os.CreateTemp(filepath.Dir(o.out), "."+filepath.Base(o.out)+"-*")
	if err != nil {
		return err
	}
	err = errors.Join(fill(file), file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), o.out)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// plain has one line of a text, and nothing that a terminal would obey.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ':
			return r + '␀' // its picture
		case r == 0x7f:
			return '␡'
		case r > 0x7f && r < 0xa0, r == 0x61c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x2028, r == 0x2029:
			return '�'
		}
		return r
	}, s)
}
