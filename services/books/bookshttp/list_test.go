package bookshttp_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"bookstore/services/books"
	"bookstore/services/kit/pg"
	"bookstore/services/kit/web"
)

// titles are those of a list's items.
func (a answer) titles() []string {
	out := []string{}
	items, _ := a.body["items"].([]any)
	for _, item := range items {
		book, _ := item.(map[string]any)
		title, _ := book["title"].(string)
		out = append(out, title)
	}
	return out
}

func (s *shop) shelve(title, author, language string, cents int) string {
	s.t.Helper()
	return s.add(fmt.Sprintf(`{"title":%q,"authors":[%q],"language":%q,"priceCents":%d,"currency":"EUR"}`, title, author, language, cents))
}

// pages reads a list to its end, one page of two after another.
func (s *shop) pages(query string, between func(page int)) []string {
	s.t.Helper()
	var titles []string
	cursor := ""
	for page := 1; ; page++ {
		got := s.want(s.do("GET", "/books?limit=2&"+query+cursor, ""), 200, "")
		titles = append(titles, got.titles()...)
		next, _ := got.body["nextCursor"].(string)
		if next == "" {
			return titles
		}
		cursor = "&cursor=" + url.QueryEscape(next)
		if between != nil {
			between(page)
		}
	}
}

func TestSearch(t *testing.T) {
	s := open(t)
	s.shelve("Harry Potter and the Philosopher's Stone", "J.K. Rowling", "en-GB", 1)
	s.shelve("Harry Potter und der Stein der Weisen", "J.K. Rowling", "de", 2)
	s.shelve("The Left Hand of Darkness", "Ursula K. Le Guin", "en", 3)
	s.shelve("Rowling: A Life", "A. N. Other", "en", 4)
	for query, want := range map[string]string{
		"q=harry":                       "1 2",
		"q=HARRY+potter+stone":          "1",
		"q=harry+pot":                   "1 2",   // the last word may be unfinished
		"q=hax+potter":                  "",      // no other may
		"q=rowling":                     "4 1 2", // a title that begins with it comes first
		"q=philosopher%27s":             "1",
		"q=guin+left":                   "3",
		"q=%27%3A*+%26+%5C":             "",
		"q=%20":                         "1 2 3 4",
		"author=rowling":                "1 2",
		"author=le+guin":                "3",
		"language=en":                   "1 3 4",
		"language=de":                   "2",
		"author=rowling&language=en-gb": "1",
		"q=harry&sort=-price":           "2 1",
		"sort=newest":                   "4 3 2 1",
	} {
		got := s.want(s.do("GET", "/books?"+query, ""), 200, "")
		var ids []string
		items, _ := got.body["items"].([]any)
		for _, item := range items {
			ids = append(ids, fmt.Sprint(item.(map[string]any)["id"]))
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%s: got %v, want %s", query, ids, want)
		}
		if got.Header.Get("Age") != "0" {
			t.Errorf("Age is %q", got.Header.Get("Age"))
		}
	}
}

func TestEverySortPagesThroughAll(t *testing.T) {
	s := open(t)
	for i, title := range []string{"banana", "Apple", "éclair", "Date", "apple"} {
		s.shelve(title, "A", "en", 10-i/2)
	}
	for sort, want := range map[string]string{
		"id":     "banana Apple éclair Date apple",
		"newest": "apple Date éclair Apple banana",
		"title":  "apple Apple banana Date éclair",
		"-title": "éclair Date banana Apple apple",
		"price":  "apple éclair Date banana Apple",
		"-price": "Apple banana Date éclair apple",
	} {
		if got := strings.Join(s.pages("sort="+sort, nil), " "); got != want {
			t.Errorf("%s: got %s, want %s", sort, got, want)
		}
	}
}

func TestAListNeverShowsABookTwice(t *testing.T) {
	s := open(t)
	first := s.shelve("a", "A", "en", 1)
	for i, title := range []string{"b", "c", "d", "e"} {
		s.shelve(title, "A", "en", 2+i)
	}
	for query, change := range map[string]string{"sort=title": `{"title":"z%d"}`, "sort=price": `{"priceCents":10%d}`} {
		seen := s.pages(query, func(page int) {
			s.want(s.do("PATCH", first, fmt.Sprintf(change, page)), 200, "")
		})
		slices.Sort(seen)
		if len(slices.Compact(seen)) != len(seen) || len(seen) != 5 {
			t.Errorf("%s: got %v", query, seen)
		}
		s.want(s.do("PATCH", first, `{"title":"a","priceCents":1}`), 200, "")
	}
}

func TestACursorSurvivesItsBook(t *testing.T) {
	s := open(t)
	paths := map[string]string{}
	for i, title := range []string{"a", "b", "c", "d"} {
		paths[title] = s.shelve(title, "A", "en", i)
	}
	got := s.pages("sort=title", func(page int) {
		if page == 1 {
			s.want(s.do("DELETE", paths["b"], ""), 204, "")
			s.shelve("aa", "A", "en", 9)
		}
	})
	if strings.Join(got, " ") != "a b c d" {
		t.Errorf("got %v", got)
	}
}

func TestCursorsOfLongTitlesFit(t *testing.T) {
	s := open(t)
	for i := range 5 {
		s.shelve(strings.Repeat("<&>€", 100)+fmt.Sprint(i), "A", "en", i)
	}
	if got := s.pages("sort=title", nil); len(got) != 5 {
		t.Errorf("got %d books", len(got))
	}
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	s := open(t)
	for i := range 3 {
		s.shelve("T", "A", "en", i)
	}
	next := s.do("GET", "/books?limit=1&sort=title", "").body["nextCursor"].(string)
	for _, query := range []string{"sort=price", "", "sort=title&q=t", "sort=title&language=en"} {
		s.want(s.do("GET", "/books?cursor="+next+"&"+query, ""), 422, "invalid_field")
	}
	var forged books.Cursor
	if err := web.DecodeCursor(next, &forged); err != nil {
		t.Fatal(err)
	}
	for _, snapshot := range []string{"", "x", "9:1:", "1:9:30", "99999999999999999999:1:", "1:9:2'"} {
		forged.Start = snapshot
		s.want(s.do("GET", "/books?sort=title&cursor="+web.EncodeCursor(forged), ""), 422, "invalid_field")
	}
}

func TestATokenThatIsNoneIsNamed(t *testing.T) {
	s := open(t)
	a := s.want(s.do("GET", "/books", "", "X-Consistency-Token", "nonsense"), 400, "malformed_request")
	if got := a.fields(); len(got) != 1 || got[0] != "X-Consistency-Token invalid" {
		t.Errorf("got %v", got)
	}
	token := pg.Position{System: 1, Timeline: 1, LSN: 1}.String()
	s.want(s.do("GET", "/books", "", "X-Consistency-Token", token), 200, "")
}
