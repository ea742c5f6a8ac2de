package store

import (
	"context"
	"fmt"
	"strings"
)

// Views makes the version's views and what it tells about itself. A manifest changed since, as by
// a table that is read again, needs them made again.
func (d *Draft) Views(ctx context.Context, m *Manifest) error {
	var statements []string
	for i := range m.Tables {
		t := &m.Tables[i]
		statements = append(statements, "create schema if not exists "+quote(t.Database),
			"create or replace view "+t.SQL()+" as "+d.rows(t))
	}
	for _, sql := range statements {
		if _, err := d.Duck.ExecContext(ctx, sql); err != nil {
			return fmt.Errorf("make the views of %s: %w", d.Run, err)
		}
	}
	return nil
}

// rows is the query of a table: the base's rows whose key was not touched since, and of each key
// that was the last row, unless it was deleted after. Files are named by their run, which says
// what came after what; in the same run a row stands above a deletion.
func (d *Draft) rows(t *Table) string {
	columns := make([]string, 0, len(t.Columns))
	for _, c := range t.Kept() {
		columns = append(columns, quote(c.Name))
	}
	all := strings.Join(columns, ", ")
	if len(t.Deltas) == 0 {
		return "select " + all + " from " + d.read(t.Base)
	}
	key := make([]string, len(t.Key))
	for i, k := range t.Key {
		key[i] = quote(k)
	}
	var changed, gone []File
	for _, delta := range t.Deltas {
		changed, gone = append(changed, delta.Changed), append(gone, delta.Gone)
	}
	return strings.NewReplacer("COLUMNS", all, "KEY", strings.Join(key, ", "), "BASE", d.read(t.Base),
		"CHANGED", d.read(changed...), "GONE", d.read(gone...), "RUN", fmt.Sprintf(`parse_filename(".file")[:%d]`, len(runFormat))).Replace(`
with changed as (select *, RUN || '+' as ".at" from CHANGED),
     gone as (select *, RUN as ".at" from GONE),
     touched as (select KEY, max(".at") as ".last" from (select KEY, ".at" from changed union all select KEY, ".at" from gone) group by KEY)
select COLUMNS from BASE anti join touched using (KEY)
union all
select COLUMNS from changed join touched using (KEY) where ".at" = ".last"`)
}

func (d *Draft) read(files ...File) string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = literal(d.Abs(f))
	}
	return "read_parquet([" + strings.Join(paths, ", ") + "], filename = '.file')"
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
