// Package report answers questions from the warehouse: with reports (warehouse/reports), with a read-only
// shell for their own SQL, and with the dictionary of what there is.
package report

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
)

// Usage says what Main takes.
const Usage = `usage: report list
       report NAME [--since 30d] [--until TIME] [--limit N] [--zone Europe/Berlin] [output]
       sql [--zone ZONE] [output] ['SELECT …']      without a statement a shell: each ends with ; and \q leaves
       dictionary [output]
output: [--format FORMAT] [--bom] [--out FILE] [--as-of RUN or TIME]
  FORMAT is table, csv, json, parquet or html; the dictionary's is markdown or html. In csv, a text that a spreadsheet
  would run has an apostrophe before it; --bom says to Excel that it is UTF-8. Programs had better read json or parquet
  a time is 2026-11-30, "2026-11-30 18:00", or how long ago: 12h, 30d, 8w, 6m, 1y; all is the beginning`

var errUsage = errors.New(Usage)

// options are what the flags say.
type options struct {
	since, until, zone string
	limit              int // of rows; 0 is all, less is what the report says
	format, out, asOf  string
	bom                bool
}

// Main runs one of the subcommands report, sql and dictionary on the warehouse in dir.
func Main(ctx context.Context, args []string, dir string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	o, words, err := parse(args[0], args[1:], stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case args[0] == "report" && len(words) == 1 && words[0] == "list":
		return list(stdout)
	case args[0] == "report" && len(words) == 1:
		return o.report(ctx, dir, words[0], stdout, stderr)
	case args[0] == "sql" && len(words) <= 1:
		return o.sql(ctx, dir, strings.Join(words, ""), stdin, stdout, stderr)
	case args[0] == "dictionary" && len(words) == 0:
		return o.dictionary(ctx, dir, stdout)
	}
	return errUsage
}

// parse takes flags before, between and after the words.
func parse(command string, args []string, stderr io.Writer) (o options, words []string, err error) {
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.format, "format", "", "")
	f.StringVar(&o.out, "out", "", "")
	f.StringVar(&o.asOf, "as-of", "", "")
	f.BoolVar(&o.bom, "bom", false, "")
	f.StringVar(&o.zone, "zone", "UTC", "")
	if command == "report" {
		f.StringVar(&o.since, "since", "", "")
		f.StringVar(&o.until, "until", "", "")
		o.limit = -1
		f.Func("limit", "", func(text string) error {
			n, err := strconv.ParseUint(text, 10, 31)
			o.limit = int(n)
			return err
		})
	}
	for len(args) > 0 && err == nil {
		if err = f.Parse(args); err == nil && f.NArg() > 0 {
			words, args = append(words, f.Arg(0)), f.Args()[1:]
			continue
		}
		args = nil
	}
	if errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintln(stderr, Usage)
	} else if err != nil {
		err = fmt.Errorf("%w\n%s", err, Usage)
	}
	if o.format == "" {
		o.format = strings.TrimPrefix(filepath.Ext(o.out), ".")
	}
	return o, words, err
}

// report runs a report.
func (o options) report(ctx context.Context, dir, name string, stdout, stderr io.Writer) error {
	r, err := find(name)
	if err != nil {
		return err
	}
	v, err := open(ctx, dir, o.asOf, o.zone)
	if err != nil {
		return err
	}
	defer v.close()
	v.warn(stderr)
	if o.since == "" {
		o.since = r.since
	}
	if o.limit < 0 {
		o.limit = r.limit
	}
	period, err := v.prepare(ctx, o)
	if err != nil {
		return err
	}
	query := r.sql
	if o.limit > 0 {
		query += fmt.Sprintf("\nlimit %d", o.limit)
	}
	said := []string{period}
	for _, m := range v.lacks {
		said = append(said, m.Brief())
	}
	page := page{Title: r.name, Question: r.question, About: r.about, Period: strings.Join(said, "; "), chart: r.chart}
	return o.write(stdout, func(w io.Writer) error { return v.answer(ctx, query, o.format, page, w) })
}
