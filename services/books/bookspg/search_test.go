package bookspg

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/platform/pg/pgtest"
)

// realBooks loads goodbooks-10k, or the shop's own catalogue where it is not
// there, and tells which.
func realBooks(t testing.TB) (pool *pgxpool.Pool, all bool) {
	t.Helper()
	file, err := os.Open("../../../../shared/data/goodbooks-10k.csv")
	if all = err == nil; !all {
		file, err = os.Open("../../catalogue/books.csv")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range lines[0] {
		column[name] = i
	}
	pool = pgtest.Database(t, Migrations)
	batch := &pgx.Batch{}
	for _, line := range lines[1:] {
		batch.Queue(insertBook, line[column["book_id"]], "", line[column["title"]],
			strings.Split(line[column["authors"]], ", "), nil, "", 100, "EUR", 1)
	}
	if err := pool.SendBatch(context.Background(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(context.Background(), "analyze"); err != nil {
		t.Fatal(err)
	}
	return pool, all
}

func mustList(t testing.TB, s *Store, f books.Filter, limit int) books.Page {
	t.Helper()
	q, err := books.Query{Filter: f, Limit: limit}.Check()
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.List(context.Background(), q)
	if err != nil {
		t.Fatalf("%+v: %v", f, err)
	}
	return page
}

// heldQueries are searches as people type them, with the books one of which
// must be among the first five.
func heldQueries(t testing.TB) (queries []string, wanted [][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/queries.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		query, ids, _ := strings.Cut(strings.TrimSpace(line), "\t")
		queries, wanted = append(queries, query), append(wanted, strings.Fields(ids))
	}
	return queries, wanted
}

const wantedFound = 0.97

func TestSearchFindsRealBooksAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	pool, all := realBooks(t)
	s := New(pool)
	queries, wanted := heldQueries(t)
	if !all {
		queries, wanted = []string{"the"}, nil
	}
	found := 0
	for i, query := range queries {
		page := mustList(t, s, books.Filter{Text: query}, 5)
		if wanted == nil {
			if len(page.Books) == 0 {
				t.Errorf("%s finds nothing", query)
			}
			continue
		}
		if slices.ContainsFunc(page.Books, func(b books.Book) bool { return slices.Contains(wanted[i], b.SourceID) }) {
			found++
			continue
		}
		var got []string
		for _, b := range page.Books {
			got = append(got, b.SourceID+" "+b.Title)
		}
		t.Logf("not found: %s %v: %q", query, wanted[i], got)
	}
	if !all {
		return
	}
	ratio := float64(found) / float64(len(queries))
	_, _ = fmt.Fprintf(os.Stdout, "figure search_found_ratio %.3f\n", ratio)
	if ratio < wantedFound {
		t.Errorf("found %.3f of the held queries, want %.2f", ratio, wantedFound)
	}
	for query, want := range map[string]int{
		"jk rowling": 27, "j k rowling": 27, "j.k. rowling": 27, "jrr tolkien": 12, "j.r.r. tolkien": 12,
		"emily bronte": 1, "emily brontë": 1, "emily bronte\u0308": 1, "garcia marquez": 12, "García Márquez": 12,
		"les miserables": 2, "Les Misérables": 2, "catch 22": 1, "catch-22": 1, "catch22": 1,
	} {
		page := mustList(t, s, books.Filter{Text: query}, 100)
		if len(page.Books)-page.Near != want {
			t.Errorf("%s: %d exact matches, want %d", query, len(page.Books)-page.Near, want)
		}
	}
}

// A list of common words is read to its end, each book once, in the order of its classes.
func TestAListOfCommonWordsIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := pgtest.Database(t, Migrations)
	for _, title := range []string{"In the Rain", "The Bus", "The", "Theory", "The (Collected)", "Other", "Over the Top"} {
		if _, err := New(pool).Create(ctx, books.Draft{Entry: books.Entry{Title: title, Authors: []string{"A"}, Currency: "EUR"}}); err != nil {
			t.Fatal(err)
		}
	}
	q := books.Query{Filter: books.Filter{Text: "the"}, Sort: books.ByRelevance, Limit: 1}
	r, err := read(ctx, pool, q.Filter)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 20 {
		var page books.Page
		snapshot := ""
		if q.After != nil {
			snapshot = q.After.Start
		}
		next, err := fill(ctx, pool, q, r.dense(q, q.After), &page, snapshot, q.Limit, books.Place{Common: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.Books {
			got = append(got, b.Title)
		}
		if q.After = next; next == nil {
			break
		}
	}
	if want := "The, The (Collected), Theory, In the Rain, The Bus, Over the Top"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}
