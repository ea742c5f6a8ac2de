package report

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver

	"bookstore/warehouse/reports"
)

// runLayout is how a run is named by the time of its cut.
const runLayout = "20060102T150405.000000Z"

// version is a session on one published version, which stays as it is.
type version struct {
	run  string
	at   time.Time // of the cut
	zone string
	temp string // what the session may write, besides nothing
	db   *sql.DB
	conn *sql.Conn
}

// open finds the current version, or that of asOf: the last whose cut was not later.
func open(ctx context.Context, dir, asOf, zone string) (*version, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	run, err := choose(dir, asOf)
	if err != nil {
		return nil, err
	}
	v := &version{run: run, zone: zone}
	if v.at, err = time.Parse(runLayout, run); err != nil {
		return nil, fmt.Errorf("the version %q is not named by the time of its cut: %w", run, err)
	}
	if v.temp, err = os.MkdirTemp("", "warehouse-"); err != nil {
		return nil, err
	}
	if v.db, err = sql.Open("duckdb", ""); err == nil {
		v.conn, err = v.db.Conn(ctx)
	}
	if err == nil {
		err = v.confine(ctx, dir)
	}
	if err != nil {
		v.close()
		return nil, fmt.Errorf("open version %s: %w", run, err)
	}
	return v, nil
}

// choose names a version.
func choose(dir, asOf string) (string, error) {
	if asOf == "" {
		target, err := os.Readlink(filepath.Join(dir, "current"))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf(`no version is published in %s yet; "go tool task warehouse:run" makes one`, dir)
		}
		return filepath.Base(target), err
	}
	entries, err := os.ReadDir(filepath.Join(dir, "versions"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	limit, err := moment(asOf)
	if err != nil {
		return "", err
	}
	found := ""
	for _, e := range entries { // in the order of their names, which is that of their cuts
		if e.Name() <= limit {
			found = e.Name()
		}
	}
	switch {
	case found != "":
		return found, nil
	case len(entries) == 0:
		return choose(dir, "")
	}
	return "", fmt.Errorf("no version as old as %s is kept in %s: the oldest is %s", asOf, dir, entries[0].Name())
}

// moment is asOf as a run would be named; a date means its end (UTC).
func moment(asOf string) (string, error) {
	if day, err := time.Parse(time.DateOnly, asOf); err == nil {
		return day.AddDate(0, 0, 1).Add(-1).Format(runLayout), nil
	}
	for _, layout := range []string{runLayout, time.RFC3339, time.DateTime, "2006-01-02 15:04"} {
		if at, err := time.Parse(layout, asOf); err == nil {
			return at.UTC().Format(runLayout), nil
		}
	}
	return "", fmt.Errorf("--as-of %q is neither a run nor a time such as 2026-11-30T18:00:00Z", asOf)
}

// confine has the session reach nothing but the warehouse and its own temporary files, and no more memory
// than an answer should need: what does not fit goes to those files. The version
// is attached, not opened, so that what a session makes for itself has a place.
func (v *version) confine(ctx context.Context, dir string) error {
	for _, s := range []string{
		"attach " + literal(filepath.Join(dir, "versions", v.run, "warehouse.duckdb")) + " as warehouse (read_only)",
		"use warehouse",
		"set TimeZone = " + literal(v.zone),
		"set memory_limit = '400MB'",
		"set temp_directory = " + literal(v.temp),
		"set allowed_directories = [" + literal(dir) + ", " + literal(v.temp) + "]",
		"set enable_external_access = false",
		"set lock_configuration = true",
	} {
		if _, err := v.conn.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// prepare runs the prelude and sets the time asked for, which it returns in words.
func (v *version) prepare(ctx context.Context, o options) (string, error) {
	cut := "timestamptz " + literal(v.at.Format(time.RFC3339Nano))
	until := cut
	if o.until != "" {
		until = instant(o.until, cut)
	}
	prelude, err := reports.Files.ReadFile("prelude.sql")
	if err != nil {
		return "", err
	}
	if _, err := v.conn.ExecContext(ctx, string(prelude)); err != nil {
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
		return "cast(" + literal(text) + " as timestamptz)"
	case m[2] == "h":
		return fmt.Sprintf("%s - interval '%s hours'", end, m[1])
	}
	return fmt.Sprintf("date_trunc('day', %s - interval '%s %s')", end, m[1], units[m[2]])
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (v *version) close() {
	if v.conn != nil {
		_ = v.conn.Close() // it has only read
	}
	if v.db != nil {
		_ = v.db.Close()
	}
	_ = os.RemoveAll(v.temp)
}
