package export

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"bookstore/warehouse/catalogue"
)

// Slices is how many parts a table is divided into by its keys. Each run compares one of them, in turn.
const Slices = 64

// Part is which rows are summed up: those changed by transactions from Since on, and one slice of
// the others. A nil Part is all rows.
type Part struct {
	Since uint64
	Slice int
}

// Sum stands for a set of rows: two sets with the same sum are the same.
type Sum struct {
	Total int64  // rows of the table
	Rows  int64  // those summed up
	Hash  string // the sum of the hashes of their values, in whatever order
}

// Source sums up a table in the snapshot that conn is in.
func Source(ctx context.Context, conn *pgx.Conn, t *catalogue.Table, part *Part) (s Sum, err error) {
	where := "true"
	if part != nil {
		where = fmt.Sprintf("%s or ('x' || substr(md5(%s), 1, 2))::bit(8)::int %% %d = %d",
			Since(part.Since), row(t.KeyColumns(), catalogue.Column.Text), Slices, part.Slice)
	}
	hash := "('x' || substr(md5(" + row(t.Kept(), catalogue.Column.Text) + "), 1, 15))::bit(60)::bigint"
	err = conn.QueryRow(ctx, summing(hash, where, "text", t.Source())).Scan(&s.Total, &s.Rows, &s.Hash)
	if err != nil {
		return s, fmt.Errorf("sum up %s.%s in PostgreSQL: %w", t.Schema, t.Name, err)
	}
	return s, nil
}

// Arrived sums up what there is of a table in the warehouse: from is its view, or whatever else
// may stand after a from.
func Arrived(ctx context.Context, duck *sql.DB, t *catalogue.Table, from string, part *Part) (s Sum, err error) {
	where := "true"
	if part != nil {
		where = fmt.Sprintf("%s >= %d or ('0x' || substr(md5(%s), 1, 2))::int %% %d = %d",
			catalogue.Changed, part.Since, row(t.KeyColumns(), catalogue.Column.Shown), Slices, part.Slice)
	}
	hash := "('0x' || substr(md5(" + row(t.Kept(), catalogue.Column.Shown) + "), 1, 15))::bigint"
	err = duck.QueryRowContext(ctx, summing(hash, where, "varchar", from)).Scan(&s.Total, &s.Rows, &s.Hash)
	if err != nil {
		return s, fmt.Errorf("sum up %s.%s in the warehouse: %w", t.Schema, t.Name, err)
	}
	return s, nil
}

func summing(hash, where, text, from string) string {
	return fmt.Sprintf("select count(*), count(hash), coalesce(sum(hash), 0)::%s from (select case when %s then %s end as hash from %s) as t",
		text, where, hash, from)
}

// row is the text of a row, in which a null is no empty text and no value runs into the next.
func row(columns []catalogue.Column, text func(catalogue.Column) string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = "coalesce(" + text(c) + ", chr(28))"
	}
	return strings.Join(parts, " || chr(31) || ")
}
