package bookspg

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

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

// Books that an earlier version indexed without their marks are indexed anew.
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

// The longest lists of authors that the API takes are indexed within the time of
// a call, as far as the index has room: the title and the first authors always.
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
