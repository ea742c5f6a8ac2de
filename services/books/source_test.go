package books_test

import (
	"reflect"
	"testing"

	"bookstore/services/books"
)

// A field is set to what the source states only if the source changed it and it was not edited in the shop.
func TestMergeKeepsWhatOthersEdited(t *testing.T) {
	t.Parallel()
	year := func(y int) *int { return &y }
	type fields = books.Stated
	price := func(cents int64, currency string) *books.Price { return &books.Price{Cents: cents, Currency: currency} }
	for name, c := range map[string]struct {
		before, book, now        fields // what is empty in now is not stated
		want                     fields
		changed, kept, conflicts []string
	}{
		"the same again": {
			fields{Title: "A"}, fields{Title: "A"}, fields{Title: "A"}, fields{Title: "A"}, nil, nil, nil,
		},
		"the source changed": {
			fields{Title: "A", Language: "en"}, fields{Title: "A", Language: "en"}, fields{Title: "B", Language: "fr"},
			fields{Title: "B", Language: "fr"}, []string{"title", "language"}, nil, nil,
		},
		"others edited": {
			fields{Title: "A"}, fields{Title: "mine"}, fields{Title: "A"}, fields{Title: "mine"}, nil, []string{"title"}, nil,
		},
		"both, differently": {
			fields{Title: "A"}, fields{Title: "mine"}, fields{Title: "B"}, fields{Title: "mine"}, nil, nil, []string{"title"},
		},
		"both, alike": {
			fields{Title: "A"}, fields{Title: "B"}, fields{Title: "B"}, fields{Title: "B"}, nil, nil, nil,
		},
		"not stated any more": {
			fields{ISBN: "0141439580", PublishedYear: year(1815)}, fields{ISBN: "0141439580", PublishedYear: year(1815)}, fields{},
			fields{ISBN: "0141439580", PublishedYear: year(1815)}, nil, nil, nil,
		},
		"stated for the first time": {
			fields{}, fields{}, fields{ISBN: "0141439580", PublishedYear: year(1815)},
			fields{ISBN: "0141439580", PublishedYear: year(1815)}, []string{"isbn", "publishedYear"}, nil, nil,
		},
		"stated for the first time, where others were first": {
			fields{}, fields{ISBN: "0141439580"}, fields{ISBN: "0306406152"}, fields{ISBN: "0141439580"}, nil, nil, []string{"isbn"},
		},
		"never stated, and given by others": {
			fields{Title: "A"}, fields{Title: "A", ISBN: "0141439580"}, fields{Title: "A"}, fields{Title: "A", ISBN: "0141439580"},
			nil, []string{"isbn"}, nil,
		},
		"erased by others": {
			fields{ISBN: "0141439580", Language: "en"}, fields{}, fields{ISBN: "0141439580", Language: "fr"},
			fields{}, nil, []string{"isbn"}, []string{"language"},
		},
		"authors": {
			fields{Authors: []string{"A"}}, fields{Authors: []string{"A"}}, fields{Authors: []string{"A", "B"}},
			fields{Authors: []string{"A", "B"}}, []string{"authors"}, nil, nil,
		},
		"the price initial, and edited": {
			fields{Price: price(500, "EUR")}, fields{Price: price(8950, "GBP")}, fields{}, fields{Price: price(8950, "GBP")}, nil, []string{"priceCents"}, nil,
		},
		"the price initial, then stated": {
			fields{Price: price(500, "EUR")}, fields{Price: price(500, "EUR")}, fields{Price: price(700, "EUR")},
			fields{Price: price(700, "EUR")}, []string{"priceCents"}, nil, nil,
		},
		"an amount goes with its currency": {
			fields{Price: price(500, "EUR")}, fields{Price: price(550, "EUR")}, fields{Price: price(500, "USD")},
			fields{Price: price(550, "EUR")}, nil, nil, []string{"priceCents"},
		},
	} {
		entry := func(f fields) books.Entry {
			e := books.Entry{SourceID: "s", ISBN: f.ISBN, Title: f.Title, Authors: f.Authors, PublishedYear: f.PublishedYear, Language: f.Language}
			if f.Price != nil {
				e.PriceCents, e.Currency = f.Price.Cents, f.Price.Currency
			}
			return e
		}
		if c.before.Price == nil {
			c.before.Price = price(0, "")
		}
		record := books.SourceDraft{Draft: books.Draft{Entry: entry(c.now)}, PriceIsInitial: c.now.Price == nil}
		got, after, r := record.Merge(entry(c.book), c.before)
		if !got.Equal(entry(c.want)) {
			t.Errorf("%s: got %+v, want %+v", name, got, entry(c.want))
		}
		if !reflect.DeepEqual(r.Changed, c.changed) || !reflect.DeepEqual(r.Kept, c.kept) || !reflect.DeepEqual(r.Conflicts, c.conflicts) {
			t.Errorf("%s: changed %v, kept %v, conflicts %v", name, r.Changed, r.Kept, r.Conflicts)
		}
		again, twice, second := record.Merge(got, after)
		if !again.Equal(got) || !twice.Equal(after) || second.Changed != nil || second.Conflicts != nil {
			t.Errorf("%s: the second time %+v, %+v", name, again, second)
		}
	}
}
