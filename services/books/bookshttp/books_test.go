package bookshttp_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestABookIsShownAsTheContractSays(t *testing.T) {
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

// A cache that knows up to which id there are books need not ask about those beyond.
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

func TestEditsNeedTheVersionTheySaw(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	edit := `{"title":"Emma, again","authors":["Jane Austen"],"priceCents":999,"currency":"GBP"}`
	s.want(s.do("PUT", path, edit), 428, "version_required")
	s.want(s.do("PUT", path, edit, "If-Match", `"2.1"`), 412, "version_mismatch")
	s.want(s.do("PUT", path, edit, "If-Match", `nonsense`), 412, "version_mismatch")
	s.want(s.do("POST", path+"/stock", `{"delta":5}`), 200, "")
	got := s.want(s.do("PUT", path, edit, "If-Match", `"1.1"`), 200, "") // stock has moved on, the entry has not
	if got.Header.Get("ETag") != `"2.2"` || got.body["quantity"] != 8.0 || got.body["isbn"] != nil {
		t.Errorf("tag %s, %s", got.Header.Get("ETag"), got.text)
	}
	if again := s.want(s.do("PUT", path, edit, "If-Match", `"2.9"`), 200, ""); again.text != got.text {
		t.Errorf("an edit that changes nothing made %s of %s", again.text, got.text)
	}
	s.want(s.do("PUT", path, edit, "If-Match", `*`), 200, "")
}

func TestPatchesChangeWhatTheyName(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	got := s.want(s.do("PATCH", path, `{"priceCents":1,"isbn":null,"publishedYear":null}`), 200, "")
	if got.body["priceCents"] != 1.0 || got.body["isbn"] != nil || got.body["publishedYear"] != nil || got.body["title"] != "Emma" {
		t.Errorf("got %s", got.text)
	}
	s.want(s.do("PATCH", path, `{"title":"E"}`, "Content-Type", "application/merge-patch+json"), 200, "")
	s.want(s.do("PATCH", path, `{"title":"F"}`, "If-Match", `"1.1"`), 412, "version_mismatch")
	refused := s.want(s.do("PATCH", path, `{"title":null,"priceCents":null,"authors":[]}`), 422, "invalid_field")
	if want := []string{"title required", "authors required", "priceCents required"}; !slices.Equal(refused.fields(), want) {
		t.Errorf("got %v", refused.fields())
	}
	if after := s.do("GET", path, ""); after.body["title"] != "E" || after.body["version"] != 3.0 {
		t.Errorf("got %s", after.text)
	}
}

func TestStockIsNoPartOfAnEdit(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	for _, method := range []string{"PUT", "PATCH"} {
		got := s.want(s.do(method, path, `{"title":"E","quantity":9}`, "If-Match", `"1.1"`), 400, "malformed_request")
		if !slices.Equal(got.fields(), []string{"quantity unknown_field"}) {
			t.Errorf("%s: %v", method, got.fields())
		}
	}
}

func TestDeletedBooksAreGone(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	s.want(s.do("DELETE", path, "", "If-Match", `"7.1"`), 412, "version_mismatch")
	if got := s.want(s.do("DELETE", path, ""), 204, ""); got.text != "" {
		t.Errorf("body %q", got.text)
	}
	for _, call := range []string{"GET " + path, "DELETE " + path, "GET " + path + "/availability"} {
		method, path, _ := strings.Cut(call, " ")
		s.want(s.do(method, path, ""), 410, "book_gone")
	}
	s.want(s.do("POST", path+"/stock", `{"delta":1}`), 410, "book_gone")
	s.want(s.do("PATCH", path, `{"title":"x"}`), 410, "book_gone")
	s.want(s.do("POST", "/internal/quotes", `{"bookIds":[1]}`), 410, "book_gone")
	if got := s.do("GET", "/books", ""); got.text != `{"items":[]}` {
		t.Errorf("listed: %s", got.text)
	}
	if again := s.add(emma); again == path {
		t.Error("the id was given again")
	}
}

func TestIdentifiersAreUnique(t *testing.T) {
	s := open(t)
	s.add(emma)
	other := s.add(`{"title":"Ur","authors":["Anon"],"priceCents":0,"currency":"EUR"}`)
	for body, want := range map[string]string{
		`{"isbn":"0141439580","title":"T","authors":["A"],"priceCents":0,"currency":"EUR"}`: "isbn taken",
		`{"sourceId":"s-1","title":"T","authors":["A"],"priceCents":0,"currency":"EUR"}`:    "sourceId taken",
	} {
		if got := s.want(s.do("POST", "/books", body), 422, "invalid_field"); !slices.Equal(got.fields(), []string{want}) {
			t.Errorf("got %v, want %s", got.fields(), want)
		}
	}
	if got := s.want(s.do("PATCH", other, `{"isbn":"141439580"}`), 422, "invalid_field"); !slices.Equal(got.fields(), []string{"isbn taken"}) {
		t.Errorf("got %v", got.fields())
	}
}

func TestImportsCreateThenUpdate(t *testing.T) {
	s := open(t)
	body := func(title, more string) string {
		return `{"title":"` + title + `","authors":["A"],"priceCents":100,"currency":"EUR"` + more + `}`
	}
	first := s.want(s.do("PUT", "/books/by-source/gb%2F1", body("One", `,"quantity":5`)), 201, "")
	if first.body["sourceId"] != "gb/1" || first.body["quantity"] != 5.0 || first.Header.Get("Location") != "/books/1" {
		t.Errorf("got %s at %s", first.text, first.Header.Get("Location"))
	}
	if same := s.want(s.do("PUT", "/books/by-source/gb%2F1", body("One", `,"quantity":9`)), 200, ""); same.text != first.text {
		t.Errorf("unchanged content made %s of %s", same.text, first.text)
	}
	next := s.want(s.do("PUT", "/books/by-source?sourceId=gb%2F1", body("Two", `,"sourceId":"gb/1"`)), 200, "")
	if next.Header.Get("X-Import-Changed") != "title" || next.body["title"] != "Two" || next.body["version"] != 2.0 || next.body["quantity"] != 5.0 || next.body["stockVersion"] != 1.0 {
		t.Errorf("got %s", next.text)
	}
	differs := s.want(s.do("PUT", "/books/by-source/a", body("X", `,"sourceId":"b"`)), 422, "invalid_field")
	if !slices.Equal(differs.fields(), []string{"sourceId differs"}) {
		t.Errorf("got %v", differs.fields())
	}
	s.want(s.do("GET", "/books/by-source/gb", ""), 405, "method_not_allowed")
}

// Sources name their books as they like; who reads an id has to see what it is.
func TestASourcesIDIsAnyVisibleText(t *testing.T) {
	s := open(t)
	const body = `{"title":"X","authors":["A"],"priceCents":100,"currency":"EUR"}`
	long := strings.Repeat("\u5b57", 200)
	for _, id := range []string{
		"/works/OL1W", "10.5555/12345678", `shelf\7`, ".", "..", "a/../b", "a b", "100%", "%2F", "?x=1&y", "#1", "+", "caf\u00e9", "\u66f8\u7c4d", "\"q\"", long,
	} {
		made := s.want(s.do("PUT", "/books/by-source?sourceId="+url.QueryEscape(id), body), 201, "")
		if made.body["sourceId"] != id {
			t.Errorf("%q became %q", id, made.body["sourceId"])
		}
		s.want(s.do("PUT", "/books/by-source?sourceId="+url.QueryEscape(id), body), 200, "")
		if !strings.ContainsAny(id, "./\\%") {
			s.want(s.do("PUT", "/books/by-source/"+url.PathEscape(id), body), 200, "")
		}
	}
	for id, code := range map[string]string{
		"": "required", "\n": "invalid_character", "a\x1b[2J": "invalid_character", "\u200b": "invalid_character", "\u00a0a": "invalid_character",
		"a\u202eb": "invalid_character", "\x00": "nul_character", "\xff": "invalid_utf8", long + "x": "too_long",
	} {
		got := s.want(s.do("PUT", "/books/by-source?sourceId="+url.QueryEscape(id), body), 422, "invalid_field")
		if want := []string{"sourceId " + code}; !slices.Equal(got.fields(), want) {
			t.Errorf("%q: got %v, want %v", id, got.fields(), want)
		}
	}
	s.want(s.do("PUT", "/books/by-source?sourceId=a&sourceId=b", body), 400, "unexpected_parameter")
	s.want(s.do("PUT", "/books/by-source/a?sourceId=b", body), 400, "unexpected_parameter")
}

// A second import leaves alone what it does not state, keeps what was edited
// since, and says so.
func TestASecondImportKeepsWhatWasEditedSince(t *testing.T) {
	s := open(t)
	const record = `{"title":"One","authors":["A"],"publishedYear":1999,"priceCents":500,"currency":"EUR","priceIsInitial":true,"quantity":5}`
	path := s.want(s.do("PUT", "/books/by-source?sourceId=s", record), 201, "").Header.Get("Location")
	put := func(body, changed, kept, conflicts string) answer {
		t.Helper()
		a := s.want(s.do("PUT", "/books/by-source?sourceId=s", body), 200, "")
		for name, want := range map[string]string{"X-Import-Changed": changed, "X-Import-Kept": kept, "X-Import-Conflicts": conflicts} {
			if got := a.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		return a
	}
	edited := s.want(s.do("PATCH", path, `{"priceCents":8950,"currency":"GBP","isbn":"0141439580","title":"Mine"}`), 200, "")
	if again := put(record, "", "isbn, title, priceCents", ""); again.text != edited.text {
		t.Errorf("edited to %s, then imported to %s", edited.text, again.text)
	}
	for range 2 { // what the source has not changed is not applied again
		s.want(s.do("PATCH", path, `{"publishedYear":null}`), 200, "")
		put(record, "", "isbn, title, publishedYear, priceCents", "")
	}
	changed := strings.NewReplacer("One", "Uno", `["A"]`, `["A","B"]`).Replace(record)
	merged := put(changed, "authors", "isbn, publishedYear, priceCents", "title")
	if merged.body["title"] != "Mine" || merged.body["priceCents"] != 8950.0 || merged.body["isbn"] != "0141439580" {
		t.Errorf("got %s", merged.text)
	}
	if again := put(changed, "", "isbn, title, publishedYear, priceCents", ""); again.text != merged.text {
		t.Errorf("the same again made %s of %s", again.text, merged.text)
	}
	s.want(s.do("PATCH", path, `{"title":"Uno","publishedYear":1999}`), 200, "")
	put(changed, "", "isbn, priceCents", "")
	put(record, "title, authors", "isbn, priceCents", "") // edits that agree with the source are no edits
}

// A source does not bring back what was withdrawn; people may.
func TestAWithdrawnBookIsNotImportedAgain(t *testing.T) {
	s := open(t)
	const record = `{"title":"One","authors":["A"],"priceCents":500,"currency":"EUR"}`
	path := s.want(s.do("PUT", "/books/by-source?sourceId=s", record), 201, "").Header.Get("Location")
	s.want(s.do("DELETE", path, ""), 204, "")
	for range 2 {
		s.want(s.do("PUT", "/books/by-source/s", record), 410, "book_gone")
	}
	back := s.add(`{"sourceId":"s","title":"Back","authors":["A"],"priceCents":700,"currency":"EUR"}`)
	got := s.want(s.do("PUT", "/books/by-source/s", record), 200, "")
	if got.Header.Get("X-Import-Conflicts") != "title, priceCents" || got.body["title"] != "Back" || back == path {
		t.Errorf("conflicts %q in %s", got.Header.Get("X-Import-Conflicts"), got.text)
	}
}

// Books from before the source's statements were remembered.
func TestAnImportOfAnOldBookFillsWhatIsEmpty(t *testing.T) {
	s := open(t)
	s.add(`{"sourceId":"s","title":"Old","authors":["A"],"priceCents":700,"currency":"EUR"}`)
	got := s.want(s.do("PUT", "/books/by-source/s", `{"title":"New","authors":["A"],"language":"fr","priceCents":5,"currency":"EUR","priceIsInitial":true}`), 200, "")
	if got.Header.Get("X-Import-Changed") != "language" || got.Header.Get("X-Import-Conflicts") != "title" || got.body["priceCents"] != 700.0 {
		t.Errorf("changed %q, conflicts %q in %s", got.Header.Get("X-Import-Changed"), got.Header.Get("X-Import-Conflicts"), got.text)
	}
}

func TestStockNeverGoesBelowZero(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	got := s.want(s.do("POST", path+"/stock", `{"delta":-2}`), 200, "")
	if got.text != `{"bookId":1,"available":1,"inStock":true}` {
		t.Errorf("got %s", got.text)
	}
	short := s.want(s.do("POST", path+"/stock", `{"delta":-2}`), 409, "out_of_stock")
	if !strings.Contains(short.text, `"books":[{"available":1,"bookId":1}]`) {
		t.Errorf("got %s", short.text)
	}
	s.want(s.do("POST", path+"/stock", `{"delta":-1}`), 200, "")
	if got := s.do("GET", path+"/availability", ""); got.text != `{"bookId":1,"available":0,"inStock":false}` {
		t.Errorf("got %s", got.text)
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
