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

// multiply makes a million books of two real ones each, so that words are as frequent as in those. Their rows in book_search are
// made of the two books' rows: the triggers would take an hour. Every tenth has a word of its own.
var multiply = []string{
	"drop index books_document, books_author_document, book_search_words",
	"alter table books disable trigger user; alter table stock disable trigger user",
	"create temp table pairs as select row_number() over (order by book_id) - 1 as n, k.*, b.title as told, b.authors from book_search k join books b on b.id = k.book_id",
	"create index on pairs (n)",
	`insert into books (title, authors, price_cents, currency)
	select left(x.told || ' ' || y.told, 500), x.authors || y.authors, 100, 'EUR'
	from generate_series((select count(*) from pairs) + 1, 1000000) g
	join pairs x on x.n = g * 7919 % (select count(*) from pairs)
	join pairs y on y.n = (g * 3 + g / 10000 * 7) % (select count(*) from pairs)
	order by g`,
	"insert into stock (book_id, quantity) select id, 1 from books where id > (select max(book_id) from pairs)",
	`insert into book_search (book_id, title, key, words)
	select g, left(x.title || ' ' || y.title, 100), x.key, x.words || y.words
		|| case when g % 10 = 0 then setweight(to_tsvector('simple', translate(g::text, '0123456789', 'abcdefghij')), 'A') else '' end
	from generate_series((select count(*) from pairs) + 1, 1000000) g
	join pairs x on x.n = g * 7919 % (select count(*) from pairs)
	join pairs y on y.n = (g * 3 + g / 10000 * 7) % (select count(*) from pairs)
	order by g`,
	"insert into search_words select translate(g::text, '0123456789', 'abcdefghij') from generate_series(10010, 1000000, 10) g on conflict do nothing",
	"create index book_search_words on book_search using gin (words) with (fastupdate = off)",
	"vacuum analyze book_search", "analyze books", "analyze stock", "analyze search_words",
}

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
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, sql := range slices.Concat([]string{"set statement_timeout = 0; set maintenance_work_mem = '256MB'"}, multiply) {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		t.Log("done:", sql)
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
	s, err := parseSearch(ctx, pool, q.Filter)
	if err != nil {
		t.Fatal(err)
	}
	matches := s.rankedMatches(s.exact, "", q, nil)
	if many, err := tooCommon(ctx, pool, s.exact); err != nil {
		t.Fatal(err)
	} else if many {
		matches = s.commonMatches(q, nil)
	}
	rows, err := pool.Query(ctx, "explain (analyze, buffers) "+matches.sql, matches.args...)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s\n%s", kind, text, strings.Join(plan, "\n"))
}
