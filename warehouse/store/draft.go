package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bookstore/warehouse/export"
	"bookstore/warehouse/money"
)

// Draft is a version that is being made.
type Draft struct {
	Run  string
	Duck *sql.DB // the version's file

	store *Store
}

// Begin starts a version with its cut at this time. Publish or Drop ends it.
func (s *Store) Begin(at time.Time, limits export.Limits) (*Draft, error) {
	run := RunName(at)
	if last, err := s.Last(); err != nil || last != nil && last.Run >= run {
		return nil, errors.Join(err, fmt.Errorf("begin version %s: there is one that is not older", run))
	}
	if err := os.Mkdir(s.path("staging", run), 0o755); err != nil { //nolint:gosec // whoever reads reports reads it
		return nil, fmt.Errorf("begin version %s: %w", run, err)
	}
	duck, err := export.Open(s.path("staging", run, duckName), limits)
	if err != nil {
		return nil, err
	}
	return &Draft{Run: run, Duck: duck, store: s}, nil
}

// Path makes the place of a file of this run.
func (d *Draft) Path(database, table, suffix string) (File, error) {
	dir := filepath.Join("files", safe(database)+"."+safe(table))
	if err := os.MkdirAll(d.store.path(dir), 0o755); err != nil { //nolint:gosec // as above
		return File{}, fmt.Errorf("make room for %s.%s: %w", database, table, err)
	}
	return File{Path: filepath.Join(dir, d.Run+suffix)}, nil
}

// safe makes a name of a file, different for different names, and not longer than two of them have room in one.
func safe(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() > maxSafe {
		return fmt.Sprintf("%s%%%x", b.String()[:maxSafe-17], sha256.Sum256([]byte(name)))[:maxSafe]
	}
	return b.String()
}

const maxSafe = 120 // a name of a file has 255 at most

// Abs is where a file is.
func (d *Draft) Abs(f File) string { return d.store.path(f.Path) }

// Drop gives the version up. Its files go with the next Open.
func (d *Draft) Drop() error {
	return errors.Join(d.Duck.Close(), os.RemoveAll(d.store.path("staging", d.Run)))
}

// Publish makes the version current, once all of it is on the disk.
func (d *Draft) Publish(ctx context.Context, m *Manifest) error {
	if err := d.publish(ctx, m); err != nil {
		return fmt.Errorf("publish version %s: %w", d.Run, err)
	}
	return nil
}

func (d *Draft) publish(ctx context.Context, m *Manifest) error {
	err := d.describe(ctx, m)
	if err == nil {
		_, err = d.Duck.ExecContext(ctx, "force checkpoint")
	}
	if err := errors.Join(err, d.Duck.Close()); err != nil {
		return err
	}
	staged := d.store.path("staging", d.Run)
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(staged, manifestName), append(text, '\n'), 0o644); err != nil { //nolint:gosec // as above
		return err
	}
	if err := d.sync(m); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // the last moment at which nobody knows of it
	}
	if err := os.Rename(staged, d.store.path("versions", d.Run)); err != nil {
		return err
	}
	if err := syncFile(d.store.path("versions")); err != nil {
		return err
	}
	return d.store.point(d.Run)
}

// sync has the run's files on the disk, and the directories that name them.
func (d *Draft) sync(m *Manifest) error {
	staged := d.store.path("staging", d.Run)
	paths := []string{filepath.Join(staged, duckName), filepath.Join(staged, manifestName), staged, d.store.path("files")}
	for _, f := range m.Files() {
		if d.Made(f) {
			paths = append(paths, d.Abs(f), filepath.Dir(d.Abs(f)))
		}
	}
	for _, path := range paths {
		if err := syncFile(path); err != nil {
			return err
		}
	}
	return nil
}

// Made tells whether a file is this run's own.
func (d *Draft) Made(f File) bool { return strings.HasPrefix(filepath.Base(f.Path), d.Run+".") }

// describe writes down in the version what it is: its run, and every column with what it means.
// DuckDB names a file's catalogue after the file: warehouse.runs is a table of its main schema.
func (d *Draft) describe(ctx context.Context, m *Manifest) error {
	tx, err := d.Duck.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing after a commit
	for _, sql := range []string{
		`create table warehouse.runs (run varchar, kind varchar, cut_at timestamptz, system varchar, timeline integer, lsn varchar)`,
		`create table warehouse.notes (note varchar)`,
		`create table warehouse.missing ("database" varchar, "table" varchar, run varchar, why varchar)`,
		`create table warehouse.unchecked (equation varchar)`,
		`create macro warehouse.decimals(currency) as ` + money.Decimals(),
		`create table warehouse.columns ("database" varchar, "table" varchar, "column" varchar, position integer,
			source_type varchar, "type" varchar, exact boolean, nullable boolean, "key" boolean, tag varchar,
			comment varchar, table_comment varchar, rows bigint)`,
	} {
		if _, err := tx.ExecContext(ctx, sql); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "insert into warehouse.runs values (?, ?, ?, ?, ?, ?)", m.Run, m.Kind, m.At, m.System, m.Timeline, m.LSN)
	if err != nil {
		return err
	}
	for _, note := range m.Notes {
		if _, err := tx.ExecContext(ctx, "insert into warehouse.notes values (?)", note); err != nil {
			return err
		}
	}
	for _, missing := range m.Missing {
		_, err := tx.ExecContext(ctx, "insert into warehouse.missing values (?, ?, nullif(?, ''), ?)", missing.Database, missing.Table, missing.Run, missing.Why)
		if err != nil {
			return err
		}
	}
	for _, equation := range m.Unchecked {
		if _, err := tx.ExecContext(ctx, "insert into warehouse.unchecked values (?)", equation); err != nil {
			return err
		}
	}
	for i := range m.Tables {
		if err := describeTable(ctx, tx, &m.Tables[i]); err != nil {
			return fmt.Errorf("describe %s: %w", &m.Tables[i], err)
		}
	}
	return tx.Commit()
}

func describeTable(ctx context.Context, tx *sql.Tx, t *Table) error {
	values := make([]any, 0, 13*len(t.Columns))
	for i, c := range t.Columns {
		values = append(values, t.Database, t.View(), c.Here(), i+1, c.Type, c.Duck, c.Exact(), !c.NotNull,
			slices.Contains(t.Key, c.Name), c.Tag, c.Comment, t.Comment, t.Rows)
	}
	row := "(?" + strings.Repeat(", ?", 12) + ")"
	_, err := tx.ExecContext(ctx, "insert into warehouse.columns values "+strings.Repeat(row+", ", len(t.Columns)-1)+row, values...) //nolint:gosec // only question marks
	return err
}
