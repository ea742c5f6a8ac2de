package bookshttp_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"bookstore/services/books"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/web"
)

func TestABookIsShownAsTheAPISays(t *testing.T) {
	s := open(t)
	created := s.want(s.do("POST", "/books", emma), 201, "")
	if created.Header.Get("ETag") != `"1.1"` || created.Header.Get("Location") != "/books/1" {
		t.Errorf("headers %v", created.Header)
	}
	got := s.want(s.do("GET", "/books/1", ""), 200, "")
	if got.text != created.text {
		t.Errorf("created %s, read %s", created.text, got.text)
	}
	for name, want := range map[string]any{
		"id": 1.0, "sourceId": "s-1", "isbn": "0141439580", "title": "Emma", "publishedYear": 1815.0, "language": "en-GB",
		"priceCents": 899.0, "currency": "GBP", "quantity": 3.0, "inStock": true, "version": 1.0, "stockVersion": 1.0,
	} {
		if got.body[name] != want {
			t.Errorf("%s is %v, want %v", name, got.body[name], want)
		}
	}
	for _, name := range []string{"createdAt", "updatedAt"} {
		if text, _ := got.body[name].(string); !strings.HasSuffix(text, "Z") {
			t.Errorf("%s is %v", name, got.body[name])
		}
	}
	bare := s.do("GET", s.add(`{"title":"Ur","authors":["Anon"],"publishedYear":-2100,"priceCents":0,"currency":"EUR"}`), "")
	for _, name := range []string{"sourceId", "isbn", "language"} {
		if _, there := bare.body[name]; there {
			t.Errorf("%s is shown though there is none", name)
		}
	}
	if bare.body["inStock"] != false || bare.body["quantity"] != 0.0 || bare.body["publishedYear"] != -2100.0 {
		t.Errorf("got %s", bare.text)
	}
}

// The highest id on a 404 lets a cache answer for the ids above it.
func TestAMissingBookTellsTheHighestID(t *testing.T) {
	s := open(t)
	highest := func(path, code string, status int, want string) {
		t.Helper()
		if got := s.want(s.do("GET", path, ""), status, code).Header.Get("X-Highest-Book-Id"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	highest("/books/1", "book_not_found", 404, "0")
	s.add(emma)
	s.want(s.do("DELETE", s.add(`{"title":"Ur","authors":["Anon"],"priceCents":5,"currency":"EUR"}`), ""), 204, "")
	highest("/books/9223372036854775807", "book_not_found", 404, "2")
	highest("/books/3", "book_not_found", 404, "2")
	highest("/books/2", "book_gone", 410, "")
	highest("/books/1", "", 200, "")
	highest("/books/one", "book_not_found", 404, "")
}

func TestConditionalReads(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	for _, tag := range []string{`"1.1"`, `W/"1.1"`, `"0.0", "1.1"`, `*`} {
		got := s.want(s.do("GET", path, "", "If-None-Match", tag), 304, "")
		if got.text != "" || got.Header.Get("ETag") != `"1.1"` {
			t.Errorf("%s: body %q, tag %s", tag, got.text, got.Header.Get("ETag"))
		}
	}
	s.want(s.do("POST", path+"/stock", `{"delta":-1}`), 200, "")
	if got := s.want(s.do("GET", path, "", "If-None-Match", `"1.1"`), 200, ""); got.Header.Get("ETag") != `"1.2"` {
		t.Errorf("tag %s after a change of stock", got.Header.Get("ETag"))
	}
}

func TestQuotes(t *testing.T) {
	s := open(t)
	s.add(emma)
	s.add(`{"title":"Ur","authors":["Anon"],"priceCents":5,"currency":"EUR"}`)
	got := s.want(s.do("POST", "/internal/quotes", `{"bookIds":[2,1]}`), 200, "")
	want := `{"quotes":[{"bookId":2,"title":"Ur","unitPriceCents":5,"currency":"EUR"},{"bookId":1,"title":"Emma","unitPriceCents":899,"currency":"GBP"}]}`
	if got.text != want {
		t.Errorf("got %s", got.text)
	}
	unknown := s.want(s.do("POST", "/internal/quotes", `{"bookIds":[1,9]}`), 422, "book_not_found")
	if !slices.Equal(unknown.fields(), []string{"items[1].bookId not_found"}) || !strings.Contains(unknown.text, `"books":[{"bookId":9}]`) {
		t.Errorf("got %s", unknown.text)
	}
}

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

func (s *api) addTitled(title, author, language string, cents int) string {
	s.t.Helper()
	return s.add(fmt.Sprintf(`{"title":%q,"authors":[%q],"language":%q,"priceCents":%d,"currency":"EUR"}`, title, author, language, cents))
}

// pages reads a list to its end, in pages of two books.
func (s *api) pages(query string, between func(page int)) []string {
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
	s.addTitled("Harry Potter and the Philosopher's Stone", "J.K. Rowling", "en-GB", 1)
	s.addTitled("Harry Potter und der Stein der Weisen", "J.K. Rowling", "de", 2)
	s.addTitled("The Left Hand of Darkness", "Ursula K. Le Guin", "en", 3)
	s.addTitled("Rowling: A Life", "A. N. Other", "en", 4)
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
		s.addTitled(title, "A", "en", 10-i/2)
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
	first := s.addTitled("a", "A", "en", 1)
	for i, title := range []string{"b", "c", "d", "e"} {
		s.addTitled(title, "A", "en", 2+i)
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
		paths[title] = s.addTitled(title, "A", "en", i)
	}
	got := s.pages("sort=title", func(page int) {
		if page == 1 {
			s.want(s.do("DELETE", paths["b"], ""), 204, "")
			s.addTitled("aa", "A", "en", 9)
		}
	})
	if strings.Join(got, " ") != "a b c d" {
		t.Errorf("got %v", got)
	}
}

func TestCursorsOfLongTitlesFit(t *testing.T) {
	s := open(t)
	for i := range 5 {
		s.addTitled(strings.Repeat("<&>€", 100)+fmt.Sprint(i), "A", "en", i)
	}
	if got := s.pages("sort=title", nil); len(got) != 5 {
		t.Errorf("got %d books", len(got))
	}
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	s := open(t)
	for i := range 3 {
		s.addTitled("T", "A", "en", i)
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

//nolint:gosmopolitan,misspell // as people type
func TestSearchAsPeopleType(t *testing.T) {
	s := open(t)
	for i, b := range [][2]string{
		{"Wuthering Heights", "Emily Brontë"},
		{"Catch-22", "Joseph Heller"},
		{"The Hobbit", "J.R.R. Tolkien"},
		{"三体 黑暗森林", "刘慈欣"},
		{"ハリー・ポッターと賢者の石", "J. K. Rowling"},
		{"ความสุขของกะทิ", "งามพรรณ เวชชาชีวะ"},
		{"Spider-Man", "Stan Lee"},
		{"At Swim-Two-Birds", "Flann O’Brien"},
		{"Die Straße nach Łódź", "Søren Æbelø"},
		{"Ο Σίσυφος", "Αλμπέρ Καμύ"},
		{"Harry Potter", "J K Rowling"},
	} {
		s.addTitled(b[0], b[1], "en", i)
	}
	for query, want := range map[string]string{
		"q=emily bronte": "1", "q=Bronte\u0308": "1", "author=bronte": "1", "q=ＷＵＴＨＥＲＩＮＧ": "1",
		"q=catch 22": "2", "q=catch22": "2", "q=catch/22": "2",
		"q=jrr tolkien": "3", "q=j r r tolkien": "3", "q=J.R.R.Tolkien": "3", "q=tolk": "3",
		"q=tolkein": "3 near", "author=tolkein": "3 near", "q=hobit": "3 near", "q=tolkein&sort=price": "3 near",
		"q=黑暗": "4", "q=森": "4", "q=黑暗森林": "4", "q=体黑": "4", "q=慈欣": "4",
		"q=賢者": "5", "q=ポッター": "5", "q=ハリー ポッター": "5", "q=ของกะทิ": "6", "q=สุข": "6",
		"q=spiderman": "7", "q=spider man": "7", "q=obrien": "8", "q=o'brien": "8", "q=swim two birds": "8",
		"q=strasse lodz": "9", "q=soren aebelo": "9", "q=ΣΙΣΥΦΟΣ": "10", "q=σισυφος": "10",
		"q=harrypotter": "11", "q=rowling potter": "11", "author=jk rowling": "5 11",
		"q=💩": "", "q=...": "", "q=%2A%3A%2A%7C%28": "", "q=' or 1=1": "", "q=x" + strings.Repeat(" y", 99): "",
	} {
		name, value, _ := strings.Cut(query, "=")
		value, rest, more := strings.Cut(value, "&")
		if !strings.Contains(value, "%") {
			value = url.QueryEscape(value)
		}
		if more {
			value += "&" + rest
		}
		got := s.want(s.do("GET", "/books?"+name+"="+value, ""), 200, "")
		var ids []string
		items, _ := got.body["items"].([]any)
		for _, item := range items {
			ids = append(ids, fmt.Sprint(item.(map[string]any)["id"]))
			if item.(map[string]any)["match"] == "near" {
				ids = append(ids, "near")
			}
		}
		if strings.Join(ids, " ") != want {
			t.Errorf("%s: got %v, want %s", query, ids, want)
		}
	}
}

func TestASearchIsReadToItsEndAndShowsNoBookTwice(t *testing.T) {
	s := open(t)
	first := s.addTitled("Dune and more", "A", "en", 1)
	for i, title := range []string{"The Dune", "About Dune", "Dune", "Dine", "Dane", "Duna"} {
		s.addTitled(title, "A", "en", 2+i)
	}
	seen := s.pages("q=dune", func(page int) {
		s.want(s.do("PATCH", first, fmt.Sprintf(`{"title":"Not Dune %d"}`, page)), 200, "")
		s.addTitled("Dune", "New", "en", 9)
	})
	if got := strings.Join(seen, ", "); got != "Dune, The Dune, About Dune, Dine, Dane, Duna" {
		t.Errorf("got %s", got)
	}
}

// A cursor that a client made up is refused or is a place in the list. It causes no 5xx.
func TestMadeUpCursors(t *testing.T) {
	s := open(t)
	for i := range 6 {
		s.addTitled(fmt.Sprint("Love ", i), "Ann Author", "en", i)
	}
	values := []any{
		-1, 0, 9, 1e9, json.Number("9223372036854775807"), json.Number("-9223372036854775808"), json.Number("9223372036854775808"), 1.5,
		"", "x", "1:1:", "9:1:", "1:9:5,3", "18446744073709551615:18446744073709551615:", "\ufffd", nil, true, []any{}, map[string]any{},
	}
	for _, query := range []string{"", "sort=title", "sort=-price", "sort=newest", "q=love", "q=love&sort=title", "q=luve", "q=luve&sort=price"} {
		page := s.want(s.do("GET", "/books?limit=2&"+query, ""), 200, "")
		next, _ := page.body["nextCursor"].(string)
		text, err := base64.RawURLEncoding.DecodeString(next)
		if err != nil || next == "" {
			t.Fatalf("%s: cursor %q: %v", query, next, err)
		}
		for _, member := range []string{"s", "f", "i", "x", "t", "p", "c", "d", "n", "m"} {
			for _, value := range values {
				cursor := map[string]any{}
				if err := json.Unmarshal(text, &cursor); err != nil {
					t.Fatal(err)
				}
				cursor[member] = value
				forged, err := json.Marshal(cursor)
				if err != nil {
					t.Fatal(err)
				}
				got := s.do("GET", "/books?limit=2&"+query+"&cursor="+url.QueryEscape(base64.RawURLEncoding.EncodeToString(forged)), "")
				if got.StatusCode != 200 && got.StatusCode != 422 {
					t.Errorf("%s with %s: %d %s", query, forged, got.StatusCode, got.text)
				}
			}
		}
	}
}
