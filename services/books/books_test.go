package books_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bookstore/services/books"
	"bookstore/services/platform/fault"
)

var now = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

func draft() books.Draft {
	return books.Draft{
		Entry: books.Entry{
			SourceID: "s", ISBN: "0141439580", Title: "Emma", Authors: []string{"Jane Austen"},
			PublishedYear: new(1815), Language: "en", PriceCents: 899, Currency: "GBP",
		},
		Quantity: 3,
	}
}

func TestCheckNormalises(t *testing.T) {
	d := draft()
	d.ISBN, d.Language = "0-14-143958-0", "en-us"
	got, err := d.Check(now)
	if err != nil || got.ISBN != "0141439580" || got.Language != "en-US" {
		t.Errorf("got %+v, %v", got, err)
	}
	for text, want := range map[string]string{"eng": "en", "zh-hant-tw": "zh-Hant-TW", "ara": "ar", "mul": "mul"} {
		d.Language = text
		if got, err := d.Check(now); err != nil || got.Language != want {
			t.Errorf("%s: got %s, %v", text, got.Language, err)
		}
	}
}

func TestCheckKeepsTheBounds(t *testing.T) {
	cases := map[string]struct {
		change func(*books.Draft)
		want   string // "" is accepted
	}{
		"first year":      {func(d *books.Draft) { d.PublishedYear = new(-5000) }, ""},
		"before it":       {func(d *books.Draft) { d.PublishedYear = new(-5001) }, "publishedYear out_of_range"},
		"announced":       {func(d *books.Draft) { d.PublishedYear = new(2031) }, ""},
		"too far ahead":   {func(d *books.Draft) { d.PublishedYear = new(2032) }, "publishedYear out_of_range"},
		"free":            {func(d *books.Draft) { d.PriceCents = 0 }, ""},
		"dearest":         {func(d *books.Draft) { d.PriceCents = 1e8 }, ""},
		"dearer":          {func(d *books.Draft) { d.PriceCents = 1e8 + 1 }, "priceCents out_of_range"},
		"no price":        {func(d *books.Draft) { d.PriceCents = books.NoPrice }, "priceCents required"},
		"full shelf":      {func(d *books.Draft) { d.Quantity = 1e6 }, ""},
		"overfull":        {func(d *books.Draft) { d.Quantity = 1e6 + 1 }, "quantity out_of_range"},
		"longest title":   {func(d *books.Draft) { d.Title = strings.Repeat("€", 500) }, ""},
		"title too long":  {func(d *books.Draft) { d.Title = strings.Repeat("€", 501) }, "title too_long"},
		"no year":         {func(d *books.Draft) { d.PublishedYear = new(0) }, "publishedYear out_of_range"},
		"before Christ":   {func(d *books.Draft) { d.PublishedYear = new(-1) }, ""},
		"no ISBN":         {func(d *books.Draft) { d.ISBN = "0000000000" }, "isbn check_digit"},
		"no ISBN-13":      {func(d *books.Draft) { d.ISBN = "0000000000000" }, "isbn check_digit"},
		"title with NUL":  {func(d *books.Draft) { d.Title = "a\x00" }, "title nul_character"},
		"title not UTF-8": {func(d *books.Draft) { d.Title = "a\xff" }, "title invalid_utf8"},
		"author too long": {func(d *books.Draft) { d.Authors = []string{strings.Repeat("x", 201)} }, "authors[0] too_long"},
		"plain":           {func(d *books.Draft) { d.Entry = books.Entry{Title: "T", Authors: []string{"A"}, Currency: "EUR"} }, ""},
		"source id":       {func(d *books.Draft) { d.SourceID = "a\n" }, "sourceId invalid_character"},
		"source filler":   {func(d *books.Draft) { d.SourceID = "\u3164" }, "sourceId invalid_character"},
		"source marks":    {func(d *books.Draft) { d.SourceID = "\u0301\ufe0f" }, "sourceId invalid_character"},
		"source in Hindi": {func(d *books.Draft) { d.SourceID = "हिन्दी/1" }, ""},
		"no currency":     {func(d *books.Draft) { d.Currency = "ZZZ" }, "currency unknown"},
		"old currency":    {func(d *books.Draft) { d.Currency = "DEM" }, "currency unknown"},
		"test currency":   {func(d *books.Draft) { d.Currency = "XTS" }, "currency unknown"},
		"new currency":    {func(d *books.Draft) { d.Currency = "SLE" }, ""},
		"three decimals":  {func(d *books.Draft) { d.Currency = "KWD" }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := draft()
			c.change(&d)
			_, err := d.Check(now)
			got := ""
			if err != nil {
				f := fault.As(err).Fields
				got = f[0].Field + " " + f[0].Code
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAllThatIsShownCanBeSeen(t *testing.T) {
	for _, text := range []string{
		"", " ", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u00ad", "\u200e\u200f", "\u202a\u202c", "\u2066\u2069", "\u2060",
		"\u180e", "\u3164", "\u2800", "\u115f\u1160", "\ufe0f", "\u034f", "\U000e0020", " \u200b\t\ufeff\n", "\x01", "\u0301", "\u0301\u0308 \u20e3",
	} {
		d := draft()
		d.Title = text
		d.Authors = []string{"Jane Austen", text}
		_, err := d.Check(now)
		if err == nil || len(fault.As(err).Fields) != 2 {
			t.Errorf("%q: got %v", text, err)
		}
	}
	for _, text := range []string{"1984", "?", "…", "Ω", "\u7d05\u6a13\u5922", "สี่แผ่นดิน", "می\u200cخواهم", "👩\u200d👩", "e\u0301", "\u200eשלום"} {
		d := draft()
		d.Title, d.Authors = text, []string{text}
		if got, err := d.Check(now); err != nil || got.Title != text {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestCheckDelta(t *testing.T) {
	for delta, ok := range map[int64]bool{1: true, -1: true, 1e6: true, -1e6: true, 0: false, 1e6 + 1: false, -1e6 - 1: false} {
		if err := books.CheckDelta(delta); (err == nil) != ok {
			t.Errorf("%d: %v", delta, err)
		}
	}
}

func TestReservationsAreCheckedAndOrdered(t *testing.T) {
	r := books.Reservation{Action: books.Reserve, Lines: []books.Line{{BookID: 9, Quantity: 1}, {BookID: 2, Quantity: 1}}}
	got, err := r.Check()
	if err != nil || got.Lines[0].BookID != 2 || r.Lines[0].BookID != 9 {
		t.Errorf("got %+v from %+v, %v", got.Lines, r.Lines, err)
	}
	bad := books.Reservation{Action: "steal", Lines: []books.Line{{BookID: 1, Quantity: 0}, {BookID: 1, Quantity: 1}}}
	_, err = bad.Check()
	var fields []string
	for _, f := range fault.As(err).Fields {
		fields = append(fields, f.Field)
	}
	if want := []string{"action", "lines[0].quantity", "lines[1].bookId"}; !slices.Equal(fields, want) {
		t.Errorf("got %v", fields)
	}
}

func TestACursorFitsItsOwnListAlone(t *testing.T) {
	q := books.Query{Filter: books.Filter{Text: "emma"}, Sort: books.ByPrice, Limit: 1}
	q.After = q.CursorAfter("7:7:", 1, "Emma", 899)
	if q.After.Price != 899 || q.After.Start != "7:7:" || q.After.Title != "" {
		t.Errorf("got %+v", q.After)
	}
	if _, err := q.Check(); err != nil {
		t.Errorf("refused in its own list: %v", err)
	}
	for name, change := range map[string]func(*books.Query){
		"sort": func(q *books.Query) { q.Sort = books.ByPriceDesc }, "text": func(q *books.Query) { q.Text = "" },
		"author": func(q *books.Query) { q.Author = "a" }, "language": func(q *books.Query) { q.Language = "en" },
	} {
		other := q
		change(&other)
		if _, err := other.Check(); fault.KindOf(err) != fault.InvalidField {
			t.Errorf("another %s: %v", name, err)
		}
	}
}
