package bookspg

import (
	"context"
	"encoding/csv"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// realBooks loads goodbooks-10k (all is true) or, where it is missing, the shop's own catalogue.
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
		entry := books.Entry{
			SourceID: line[column["book_id"]], Title: line[column["title"]], Authors: strings.Split(line[column["authors"]], ", "),
			PriceCents: 100, Currency: "EUR",
		}
		batch.Queue(insertBook, append(entryArgs(entry), 1)...)
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

// heldQueries are searches as people type them, each with the books of which one must be among the first five.
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
	s, err := parseSearch(ctx, pool, q.Filter)
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
		next, err := readMatches(ctx, pool, q, s.commonMatches(q, q.After), &page, snapshot, q.Limit, books.Place{Common: true})
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

// One mistake in a word of three or four letters is tolerated.
func TestShortWordsHaveSimilarOnes(t *testing.T) {
	t.Parallel()
	store := New(pgtest.Database(t, Migrations))
	for title, author := range map[string]string{
		"The Hobbit": "J.R.R. Tolkien", "It": "Stephen King", "Atlas Shrugged": "Ayn Rand", "Blackwood Farm": "Anne Rice",
		"Animal Farm": "George Orwell", "Emma": "Jane Austen", "Inferno": "Dan Brown",
	} {
		draft := books.Draft{Entry: books.Entry{Title: title, Authors: []string{author}, PriceCents: 1, Currency: "EUR"}}
		if _, err := store.Create(context.Background(), draft); err != nil {
			t.Fatal(err)
		}
	}
	for search, title := range map[string]string{
		"hte hobbit": "The Hobbit", "thee hobbit": "The Hobbit", "stephen kng": "It", "any rand": "Atlas Shrugged",
		"ann rice": "Blackwood Farm", "animal frm": "Animal Farm", "ema": "Emma", "dna brown": "Inferno",
	} {
		page := mustList(t, store, books.Filter{Text: search}, 5)
		if len(page.Books) == 0 || page.Books[0].Title != title {
			t.Errorf("%q finds %+v, want %q", search, page.Books, title)
		}
	}
}

// Initials that are joined with the name are an exact match.
func TestInitialsMayBeJoinedWithTheName(t *testing.T) {
	t.Parallel()
	store := New(pgtest.Database(t, Migrations))
	for _, author := range []string{"J.R.R. Tolkien", "J. R. R. Tolkien", "JRR Tolkien", "Tolkien Estate"} {
		draft := books.Draft{Entry: books.Entry{Title: "By " + author, Authors: []string{author}, PriceCents: 1, Currency: "EUR"}}
		if _, err := store.Create(context.Background(), draft); err != nil {
			t.Fatal(err)
		}
	}
	if page := mustList(t, store, books.Filter{Text: "jrrtolkien"}, 5); len(page.Books) != 3 || page.Near != 0 {
		t.Errorf("found %d, %d of them near", len(page.Books), page.Near)
	}
}

// unspacedBook is a book in a script that is written without spaces between words,
// with searches that must find it.
type unspacedBook struct {
	title             string
	authors, searches []string
}

// unspaced reads them: marks between two letters, words behind the first sixty
// characters of a title or of all authors, colons that separate nothing.
func unspaced(t *testing.T) (all []unspacedBook) {
	t.Helper()
	text, err := os.ReadFile("testdata/unspaced.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		all = append(all, unspacedBook{cells[0], strings.Split(cells[1], "|"), strings.Split(cells[2], "|")})
	}
	return all
}

func addUnspaced(t *testing.T, store *Store) {
	t.Helper()
	for _, u := range unspaced(t) {
		draft := books.Draft{Entry: books.Entry{Title: u.title, Authors: u.authors, PriceCents: 1, Currency: "EUR"}}
		if _, err := store.Create(context.Background(), draft); err != nil {
			t.Fatal(err)
		}
	}
}

func findUnspaced(t *testing.T, store *Store) {
	t.Helper()
	for _, u := range unspaced(t) {
		for _, search := range u.searches {
			page := mustList(t, store, books.Filter{Text: search}, 5)
			if len(page.Books) != 1 || page.Near != 0 || page.Books[0].Title != u.title {
				t.Errorf("%q finds %d books, %d of them near: want %q", search, len(page.Books), page.Near, u.title)
			}
		}
	}
}

func TestScriptsWithoutSpacesAreFound(t *testing.T) {
	t.Parallel()
	store := New(pgtest.Database(t, Migrations))
	addUnspaced(t, store)
	findUnspaced(t, store)
}

// Books that an earlier version indexed without their marks are indexed again.
func TestBooksInScriptsWithoutSpacesAreIndexedAnew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := pgtest.DSN(t, migrationsBefore(t, "00011"))
	store := New(pgtest.Pool(t, dsn))
	addUnspaced(t, store)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Migrate(ctx, config, Migrations); err != nil {
		t.Fatal(err)
	}
	findUnspaced(t, store)
}

// The longest lists of authors that the API accepts are indexed within the time of a call: always the title and the first authors,
// and the others up to the bound of the index.
func TestABookOfVeryManyNamesIsIndexed(t *testing.T) {
	t.Parallel()
	store := New(pgtest.Database(t, Migrations))
	names := map[string]func(i int) string{
		"joined":     func(i int) string { return strings.Repeat(fmt.Sprintf("abcdefghij%dklmnopqrstuvwxyz-", i), 4) + "z" },
		"initials":   func(i int) string { return fmt.Sprint(i) + strings.Repeat(".a.b.c.d.e", 12) },
		"separate":   func(i int) string { return fmt.Sprint(i) + strings.Repeat(" x y z", 20) },
		"characters": func(i int) string { return strings.Repeat(string(rune('一'+i)), 30) + string(rune('丁'+i)) },
	}
	for name, author := range names {
		authors := []string{"First Person"}
		for i := range 999 {
			authors = append(authors, author(i))
		}
		draft := books.Draft{Entry: books.Entry{Title: "Very many " + name, Authors: authors, PriceCents: 1, Currency: "EUR"}}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		_, err := store.Create(ctx, draft)
		cancel()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if page := mustList(t, store, books.Filter{Text: "very many " + name + " first person"}, 5); len(page.Books) != 1 {
			t.Errorf("%s: found %d times", name, len(page.Books))
		}
	}
}

// After the migrations, books from before the search are found, except deleted ones.
func TestBooksFromBeforeTheSearchAreFound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	before := migrationsBefore(t, "00008")
	dsn := pgtest.DSN(t, before)
	pool := pgtest.Pool(t, dsn)
	if _, err := pool.Exec(ctx, manyBooks); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "update books set title = 'Café', deleted_at = case when id > 990 then now() end where id > 900"); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Migrate(ctx, config, Migrations); err != nil {
		t.Fatal(err)
	}
	page := mustList(t, New(pool), books.Filter{Text: "cafe"}, 100)
	if len(page.Books) != 90 || page.Near != 0 {
		t.Errorf("found %d, %d of them near", len(page.Books), page.Near)
	}
	var indexed int
	if err := pool.QueryRow(ctx, "select count(*) from book_search").Scan(&indexed); err != nil {
		t.Fatal(err)
	}
	if indexed != 990 {
		t.Errorf("%d books are in the search, want 990", indexed)
	}
}

// migrationsBefore are the migrations before one.
func migrationsBefore(t *testing.T, first string) fstest.MapFS {
	t.Helper()
	before := fstest.MapFS{}
	files, err := fs.Glob(Migrations, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name < first {
			text, err := fs.ReadFile(Migrations, name)
			if err != nil {
				t.Fatal(err)
			}
			before[name] = &fstest.MapFile{Data: text}
		}
	}
	return before
}
