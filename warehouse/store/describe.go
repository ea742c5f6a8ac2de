package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"bookstore/warehouse/money"
)

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
