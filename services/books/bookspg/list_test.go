package bookspg

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg/pgtest"
)

const manyBooks = `
with b as (
	insert into books (title, authors, price_cents, currency)
	select md5(n::text), array['Author ' || n % 100], n * 7919 % 5000, 'EUR' from generate_series(1, 1000) n
	returning id
)
insert into stock (book_id, quantity) select id, 0 from b`

// Every page of every order is read from an index: a sort would read the whole catalogue for twenty books.
func TestEveryOrderIsReadFromAnIndex(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, Migrations)
	for _, sql := range []string{manyBooks, "analyze books", "analyze stock"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for sort := range orders {
		first := books.Query{Sort: sort, Limit: 20}
		page, err := New(pool).List(ctx, first)
		if err != nil {
			t.Fatal(err)
		}
		later := first
		later.After = page.Next
		for _, q := range []books.Query{first, later} {
			sql, args := listSQL(q, match{})
			rows, err := pool.Query(ctx, "explain "+sql, args...)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s:\n%s", fmt.Sprint(sort, ", later page: ", q.After != nil), plan)
			}
		}
	}
}

// A search for an ISBN is one look-up in the unique index.
func TestABookIsFoundByItsISBNThroughAnIndex(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, Migrations)
	const numbered = `update books set isbn = 978000000000 + id || '0'`
	for _, sql := range []string{manyBooks, numbered, "analyze books", "analyze stock"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, sort := range []books.Sort{books.ByRelevance, books.ByTitle} {
		sql, args := listSQL(books.Query{Sort: sort, Limit: 20}, match{isbn: "9780000000070"})
		rows, err := pool.Query(ctx, "explain "+sql, args...)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(lines, "\n"); !strings.Contains(plan, "books_isbn") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s:\n%s", sort, plan)
		}
	}
}

// An import of a million rows looks up a million source ids.
func TestABookIsFoundByItsSourceThroughAnIndex(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, Migrations)
	const sourced = `update books set source_id = 's-' || id, deleted_at = case when id % 7 = 0 then now() end`
	for _, sql := range []string{manyBooks, sourced, "analyze books"} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := pool.Query(ctx, "explain "+bySource, "s-7")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(lines, "\n"); strings.Contains(plan, "Seq Scan") {
		t.Error(plan)
	}
}
