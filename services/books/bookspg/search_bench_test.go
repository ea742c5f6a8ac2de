//go:build bench

package bookspg

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
)

const wantedP99 = 50 * time.Millisecond

// multiply makes books of the titles there are, so that words are as frequent
// as in them: the first half of one title and the second of another, with the
// authors of a third. Every tenth has a word of its own.
const multiply = `
with real as materialized (
	select row_number() over (order by id) - 1 as n, title, authors, count(*) over () as all_of_them from books where id <= $3
), made as (
	select g, a.title as head, b.title as tail, c.authors
	from generate_series($1::bigint, $2::bigint) g
	join real a on a.n = (g * 7919) % a.all_of_them
	join real b on b.n = (g * 104729 + g / 10000) % b.all_of_them
	join real c on c.n = (g * 1299709 + g / 777) % c.all_of_them
), b as (
	insert into books (title, authors, price_cents, currency)
	select left(head, char_length(head) / 2) || substr(tail, char_length(tail) / 2)
		|| case when g % 10 = 0 then ' ' || translate(g::text, '0123456789', 'abcdefghij') else '' end, authors, 100, 'EUR'
	from made returning id
)
insert into stock (book_id, quantity) select id, 1 from b`

//nolint:gosmopolitan // scripts without spaces are what is measured
var benchQueries = map[string][]string{
	"common": {"the", "the of", "and the", "a", "t", "harry", "love", "john", "the s"},
	"rare":   {"azkaban", "mockingjay", "silmarillion"},
	"misspelt": {"tolkein", //nolint:misspell // as people type it
		"shakespaer", "azkabam", "harry poter", "xqzzy wvut"},
	"initials":  {"jk rowling", "j r r tolkien", "c s lewis"},
	"no spaces": {"セーラームーン", "武内", "美", "よりも"},
}

// TestBenchSearch measures searches at 10,000 and at a million books.
func TestBenchSearch(t *testing.T) {
	ctx := context.Background()
	pool, _ := realBooks(t)
	measureSearches(t, pool, "10k")
	var have int64
	if err := pool.QueryRow(ctx, "select max(id) from books").Scan(&have); err != nil {
		t.Fatal(err)
	}
	const all, batch = 1_000_000, 500
	for from := have + 1; from <= all; from += batch {
		if _, err := pool.Exec(ctx, multiply, from, min(from+batch-1, all), have); err != nil {
			t.Fatal(err)
		}
		if from/batch%200 == 0 {
			t.Logf("%d books", from)
		}
	}
	if _, err := pool.Exec(ctx, "set statement_timeout = 0; vacuum analyze book_search", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Log(err) // vacuum does not run with other statements
	}
	for _, table := range []string{"book_search", "books", "stock", "search_words"} {
		if _, err := pool.Exec(ctx, "analyze "+table); err != nil {
			t.Fatal(err)
		}
	}
	measureSearches(t, pool, "1m")
}

func measureSearches(t *testing.T, pool *pgxpool.Pool, size string) {
	t.Helper()
	held, _ := heldQueries(t)
	mixed := map[string][]string{"held": held}
	maps.Copy(mixed, benchQueries)
	s, took := New(pool), []time.Duration(nil)
	for range 3 {
		for kind, queries := range mixed {
			var slowest time.Duration
			var which string
			for _, query := range queries {
				began := time.Now()
				mustList(t, s, books.Filter{Text: query}, 20)
				one := time.Since(began)
				took = append(took, one)
				if one > slowest {
					slowest, which = one, query
				}
			}
			t.Logf("%s %s: slowest %v (%s)", size, kind, slowest, which)
		}
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	_, _ = fmt.Fprintf(os.Stdout, "figure search_p50_ms_%s %.1f\nfigure search_p99_ms_%s %.1f\n",
		size, took[len(took)/2].Seconds()*1000, size, p99.Seconds()*1000)
	for kind, queries := range benchQueries {
		explainSearch(t, pool, kind, queries[0])
	}
	if p99 > wantedP99 {
		t.Errorf("the 99th percentile at %s books is %v, want %v", size, p99, wantedP99)
	}
}

// explainSearch prints the plan of a search's first statement.
func explainSearch(t *testing.T, pool *pgxpool.Pool, kind, text string) {
	t.Helper()
	ctx := context.Background()
	q := books.Query{Filter: books.Filter{Text: text}, Sort: books.ByRelevance, Limit: 20}
	r, err := read(ctx, pool, q.Filter)
	if err != nil {
		t.Fatal(err)
	}
	run := r.ranked(r.exact, "", q, nil)
	if many, err := common(ctx, pool, r.exact); err != nil {
		t.Fatal(err)
	} else if many {
		run = r.dense(q, nil)
	}
	rows, err := pool.Query(ctx, "explain (analyze, buffers) "+run.sql, run.args...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s\n%s", kind, text, strings.Join(plan, "\n"))
}
