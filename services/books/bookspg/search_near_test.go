package bookspg

import (
	"context"
	"testing"

	"bookstore/services/books"
	"bookstore/services/platform/pg/pgtest"
)

// One mistake in a word of three or four letters, as in longer ones.
func TestShortWordsHaveNearOnes(t *testing.T) {
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

// Initials that are joined with the name behind them are a match, and no near one.
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
