package bookspg

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

func numbered(isbn string) books.Draft {
	return books.Draft{Entry: books.Entry{Title: "T", Authors: []string{"A"}, ISBN: isbn, PriceCents: 1, Currency: "EUR"}}
}

func taken(err error) bool {
	return err != nil && fault.KindOf(err) == fault.InvalidField && fault.As(err).Fields[0] == books.Taken("isbn").Fields[0]
}

// The two forms of an ISBN are one number, whichever comes first.
func TestABookHasOneNumberInBothForms(t *testing.T) {
	t.Parallel()
	s, ctx := New(pgtest.Database(t, Migrations)), context.Background()
	for ten, thirteen := range map[string]string{
		"0141439580": "9780141439587", "080442957X": "9780804429573", "0306406152": "9780306406157", "9992158107": "9789992158104",
	} {
		book, err := s.Create(ctx, numbered(ten))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(ctx, numbered(thirteen)); !taken(err) {
			t.Errorf("%s is taken as %s: %v", thirteen, ten, err)
		}
		if err := s.Delete(ctx, book.ID, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(ctx, numbered(thirteen)); err != nil {
			t.Errorf("%s was not free again: %v", thirteen, err)
		}
		if _, err := s.Create(ctx, numbered(ten)); !taken(err) {
			t.Errorf("%s is taken as %s: %v", ten, thirteen, err)
		}
	}
	if _, err := s.Create(ctx, numbered("9791090636071")); err != nil {
		t.Errorf("a number that has no short form: %v", err)
	}
}

// Books that shared a number before the migration keep it and can be edited. A new number must be free.
func TestBooksThatShareANumberOutliveTheMigration(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := pgtest.DSN(t, migrationsBefore(t, "00010"))
	pool := pgtest.Pool(t, dsn)
	const old = `
		with b as (
			insert into books (isbn, title, authors, price_cents, currency)
			values ('0141439580', 'ten', '{A}', 1, 'EUR'), ('9780141439587', 'thirteen', '{A}', 1, 'EUR'), ('0306406152', 'alone', '{A}', 1, 'EUR')
			returning id
		)
		insert into stock (book_id, quantity) select id, 1 from b`
	if _, err := pool.Exec(ctx, old); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pg.Migrate(ctx, config, Migrations); err != nil {
		t.Fatal(err)
	}
	s := New(pool)
	edit := func(id int64, change func(*books.Entry)) error {
		_, err := s.Edit(ctx, id, nil, func(e books.Entry) (books.Entry, error) {
			change(&e)
			return e, nil
		})
		return err
	}
	for id, want := range map[int64]string{1: "0141439580", 2: "9780141439587"} {
		if err := edit(id, func(e *books.Entry) { e.Title += "!" }); err != nil {
			t.Errorf("edit of %d: %v", id, err)
		}
		if book, err := s.Get(ctx, id); err != nil || book.ISBN != want {
			t.Errorf("%d has %q, %v", id, book.ISBN, err)
		}
	}
	for _, isbn := range []string{"0141439580", "9780141439587", "9780306406157"} {
		if _, err := s.Create(ctx, numbered(isbn)); !taken(err) {
			t.Errorf("%s: %v", isbn, err)
		}
	}
	if err := edit(2, func(e *books.Entry) { e.ISBN = "" }); err != nil {
		t.Fatal(err)
	}
	if err := edit(2, func(e *books.Entry) { e.ISBN = "9780141439587" }); !taken(err) {
		t.Errorf("the shared number was given again: %v", err)
	}
}

// A search that is an ISBN, in either form and with or without hyphens, finds the book that has it in either form.
func TestAnISBNFindsItsBook(t *testing.T) {
	t.Parallel()
	s, ctx := New(pgtest.Database(t, Migrations)), context.Background()
	for isbn, title := range map[string]string{
		"0141439580": "Emma", "9780804429573": "Ten with an X", "9791090636071": "Of 979", "": "9780306406157 and 0306406152",
	} {
		draft := numbered(isbn)
		draft.Title, draft.Language = title, "en"
		if _, err := s.Create(ctx, draft); err != nil {
			t.Fatal(err)
		}
	}
	for text, title := range map[string]string{
		"0141439580": "Emma", "0-14-143958-0": "Emma", "9780141439587": "Emma", "978 0 14 143958 7": "Emma",
		"978\u20110\u201114\u2011143958\u20117": "Emma", "080442957x": "Ten with an X", "978-0804429573": "Ten with an X", "9791090636071": "Of 979",
		"9780306406157": "9780306406157 and 0306406152", // no book has the number: it is a word
		"9780141439588": "", "9789992158104": "",
	} {
		for _, sort := range []books.Sort{books.ByRelevance, books.ByTitle} {
			q, err := books.Query{Filter: books.Filter{Text: text, Language: "en"}, Sort: sort, Limit: 1}.Check()
			if err != nil {
				t.Fatal(err)
			}
			page, err := s.List(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			found := ""
			for _, b := range page.Books {
				found += b.Title
			}
			if found != title || page.Near != 0 || page.Next != nil {
				t.Errorf("%s by %s finds %q, %d near, next %v: want %q", text, sort, found, page.Near, page.Next, title)
			}
		}
	}
	if page := mustList(t, s, books.Filter{Text: "0141439580", Language: "de"}, 5); len(page.Books) != 0 {
		t.Error("a book in another language is found")
	}
	if page := mustList(t, s, books.Filter{Text: "0141439580", Author: "nobody"}, 5); len(page.Books) != 0 {
		t.Error("a book of another author is found")
	}
	emma := mustList(t, s, books.Filter{Text: "0141439580"}, 5).Books[0]
	if err := s.Delete(ctx, emma.ID, nil); err != nil {
		t.Fatal(err)
	}
	if page := mustList(t, s, books.Filter{Text: "0141439580"}, 5); len(page.Books) != 0 {
		t.Error("a deleted book is found")
	}
}
