package store

import (
	"context"
	"fmt"
	"os"
	"strings"

	"bookstore/warehouse/catalogue"
)

// Views makes the version's views and what it tells about itself. A manifest changed since, as by
// a table that is read again, needs them made again.
func (d *Draft) Views(ctx context.Context, m *Manifest) error {
	var statements []string
	for i := range m.Tables {
		t := &m.Tables[i]
		if t.Base.Path == "" {
			continue // it could not be read
		}
		statements = append(statements, "create schema if not exists "+catalogue.Quote(t.Database),
			"create or replace view "+t.SQL()+" as "+d.rows(t))
	}
	for _, sql := range statements {
		if _, err := d.Duck.ExecContext(ctx, sql); err != nil {
			return fmt.Errorf("make the views of %s: %w", d.Run, err)
		}
	}
	return nil
}

// Forget removes the view of a table, if there is one.
func (d *Draft) Forget(ctx context.Context, t *Table) error {
	for _, sql := range []string{"create schema if not exists " + catalogue.Quote(t.Database), "drop view if exists " + t.SQL()} {
		if _, err := d.Duck.ExecContext(ctx, sql); err != nil {
			return fmt.Errorf("forget the view of %s: %w", t, err)
		}
	}
	return nil
}

// merge tells of each key that was touched since the base what happened to it last. Files are named
// by their run, which says what came after what; in the same run a row stands above a deletion.
const merge = `
with changed as (select COLUMNS, RUN || '+' as ".at" from CHANGED),
     gone as (select KEY, RUN as ".at" from GONE),
     touched as (select KEY, max(".at") as ".last" from (select KEY, ".at" from changed union all select KEY, ".at" from gone) group by KEY)
`

const (
	mergedRows = `select COLUMNS from changed join touched using (KEY) where ".at" = ".last"`
	mergedGone = `select KEY from touched where not suffix(".last", '+')`
)

// rows is the query of a table: the base's rows whose key was not touched since, and the last row of
// each key that was and is still there.
func (d *Draft) rows(t *Table) string {
	if len(t.Deltas) == 0 {
		return d.fill(t, "select COLUMNS from BASE")
	}
	return d.fill(t, merge+"select COLUMNS from BASE anti join touched using (KEY) union all "+mergedRows)
}

// Fold makes one delta of all that a table has.
func (d *Draft) Fold(ctx context.Context, t *Table) error {
	var one Delta
	for _, part := range []struct {
		file          *File
		suffix, query string
	}{{&one.Changed, ".folded.parquet", mergedRows}, {&one.Gone, ".folded.gone.parquet", mergedGone}} {
		file, err := d.Path(t.Database, t.View(), part.suffix)
		if err == nil {
			*part.file, err = d.write(ctx, file, d.fill(t, merge+part.query))
		}
		if err != nil {
			return fmt.Errorf("fold the deltas of %s: %w", t, err)
		}
	}
	t.Deltas = []Delta{one}
	return nil
}

// write makes a file of what a query of this DuckDB gives.
func (d *Draft) write(ctx context.Context, file File, query string) (File, error) {
	result, err := d.Duck.ExecContext(ctx, "copy ("+query+") to "+catalogue.Literal(d.Abs(file))+" (format parquet, compression zstd)")
	if err != nil {
		return file, err
	}
	if file.Rows, err = result.RowsAffected(); err != nil {
		return file, err
	}
	info, err := os.Stat(d.Abs(file))
	if err != nil {
		return file, err
	}
	file.Bytes = info.Size()
	return file, nil
}

func (d *Draft) fill(t *Table, query string) string {
	columns := make([]string, 0, len(t.Columns))
	for _, c := range t.Kept() {
		columns = append(columns, catalogue.Quote(c.Here()))
	}
	key := make([]string, 0, len(t.Key))
	for _, c := range t.KeyColumns() {
		key = append(key, catalogue.Quote(c.Here()))
	}
	var changed, gone []File
	for _, delta := range t.Deltas {
		changed, gone = append(changed, delta.Changed), append(gone, delta.Gone)
	}
	return strings.NewReplacer("COLUMNS", strings.Join(columns, ", "), "KEY", strings.Join(key, ", "), "BASE", d.read(t.Base),
		"CHANGED", d.read(changed...), "GONE", d.read(gone...), "RUN", fmt.Sprintf(`parse_filename(".file")[:%d]`, len(runFormat))).Replace(query)
}

func (d *Draft) read(files ...File) string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = catalogue.Literal(d.Abs(f))
	}
	return "read_parquet([" + strings.Join(paths, ", ") + "], filename = '.file')"
}
