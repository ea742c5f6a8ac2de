package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // the driver
)

// Version is a published version.
type Version struct {
	Run  string
	At   time.Time // its cut
	Path string    // its directory
}

// ErrNone is that there is no such version.
var ErrNone = errors.New("there is no version")

// Versions lists what is published in a directory, the oldest first.
func Versions(dir string) ([]Version, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "versions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the versions: %w", err)
	}
	var all []Version // the entries are sorted, and so are the times
	for _, entry := range entries {
		if at, err := time.Parse(runFormat, entry.Name()); err == nil {
			all = append(all, Version{entry.Name(), at, filepath.Join(dir, "versions", entry.Name())})
		}
	}
	return all, nil
}

// AsOf finds the version that a person means: the newest for an empty text, a run's own for its
// name, else the last whose cut was not after a time: RFC 3339, or a date, which means its end (UTC).
func AsOf(dir, when string) (Version, error) {
	all, err := Versions(dir)
	if err != nil {
		return Version{}, err
	}
	limit, err := moment(when)
	if err != nil {
		return Version{}, err
	}
	for _, v := range slices.Backward(all) {
		if when == "" || v.Run == when || !limit.IsZero() && !v.At.After(limit) {
			return v, nil
		}
	}
	switch {
	case len(all) == 0:
		return Version{}, fmt.Errorf("%w in %s yet", ErrNone, dir)
	default:
		return Version{}, fmt.Errorf("%w of %s: the oldest is %s, the newest %s", ErrNone, when, all[0].Run, all[len(all)-1].Run)
	}
}

// moment is the last instant that a text may mean; zero for the names of runs and for nothing.
func moment(when string) (time.Time, error) {
	if _, err := time.Parse(runFormat, when); err == nil || when == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, when); err == nil {
		return day.AddDate(0, 0, 1).Add(-1), nil
	}
	at, err := time.Parse(time.RFC3339Nano, when)
	if err != nil {
		return at, fmt.Errorf("%q is neither a run, like 20261123T061500.123456Z, nor a time, like 2026-11-23 or 2026-11-23T06:15:00Z", when)
	}
	return at, nil
}

// Manifest reads what the version is made of.
func (v Version) Manifest() (*Manifest, error) { return readManifest(v.Path) }

// File is the version's DuckDB file.
func (v Version) File() string { return filepath.Join(v.Path, duckName) }

// Open opens the version for reading. It stays that version, whatever is published later.
func (v Version) Open(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("duckdb", v.File()+"?access_mode=read_only")
	if err != nil {
		return nil, fmt.Errorf("open version %s: %w", v.Run, err)
	}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open version %s: %w", v.Run, err), db.Close())
	}
	return db, nil
}
