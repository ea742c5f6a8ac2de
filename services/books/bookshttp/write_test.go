package bookshttp_test

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

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

// A source's id may have any characters that are visible.
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

// A second import leaves fields alone that it does not state, keeps edits since the first, and lists both.
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

// An import does not restore a deleted book. POST does.
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

// Books whose source's statements were never stored.
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

// Each invalid input is a problem that names the field. Nothing is stored, and there is no 5xx.
func TestBadInputIsRefusedByName(t *testing.T) {
	s := open(t)
	book := func(changes ...string) string {
		fields := map[string]string{"title": `"T"`, "authors": `["A"]`, "priceCents": `1`, "currency": `"EUR"`}
		for _, change := range changes {
			name, value, _ := strings.Cut(change, "=")
			fields[name] = value
		}
		var pairs []string
		for name, value := range fields {
			pairs = append(pairs, `"`+name+`":`+value)
		}
		return "{" + strings.Join(pairs, ",") + "}"
	}
	cases := map[string]struct {
		body   string
		status int
		code   string
		fields []string
	}{
		"unknown field":      {book("colour=1"), 400, "malformed_request", []string{"colour unknown_field"}},
		"text as price":      {book(`priceCents="1"`), 400, "malformed_request", []string{"priceCents wrong_type"}},
		"fraction of a cent": {book(`priceCents=1.5`), 400, "malformed_request", []string{"priceCents wrong_type"}},
		"author not text":    {book(`authors=["A",1]`), 400, "malformed_request", []string{"authors[1] wrong_type"}},
		"authors no array":   {book(`authors="A"`), 400, "malformed_request", []string{"authors wrong_type"}},
		"year as text":       {book(`publishedYear="1999"`), 400, "malformed_request", []string{"publishedYear wrong_type"}},
		"NUL in the title":   {book(`title="a\u0000"`), 400, "malformed_request", []string{"title nul_character"}},
		"invalid UTF-8":      {book("title=\"a\xc3\x28\""), 400, "malformed_request", []string{"title invalid_utf8"}},
		"trailing data":      {book() + "{}", 400, "malformed_request", []string{" trailing_data"}},
		"not an object":      {"[]", 400, "malformed_request", []string{" wrong_type"}},
		"negative price":     {book(`priceCents=-5`), 422, "invalid_field", []string{"priceCents out_of_range"}},
		"absurd price":       {book(`priceCents=100000001`), 422, "invalid_field", []string{"priceCents out_of_range"}},
		"negative quantity":  {book(`quantity=-1`), 422, "invalid_field", []string{"quantity out_of_range"}},
		"absurd quantity":    {book(`quantity=1000001`), 422, "invalid_field", []string{"quantity out_of_range"}},
		"quantity past int":  {book(`quantity=1e99`), 400, "malformed_request", []string{"quantity wrong_type"}},
		"blank title":        {book(`title="  "`), 422, "invalid_field", []string{"title required"}},
		"endless title":      {book(`title="` + strings.Repeat("é", 501) + `"`), 422, "invalid_field", []string{"title too_long"}},
		"no author":          {book(`authors=[]`), 422, "invalid_field", []string{"authors required"}},
		"empty author":       {book(`authors=["A",""]`), 422, "invalid_field", []string{"authors[1] required"}},
		"too many authors":   {book(`authors=["A"` + strings.Repeat(`,"A"`, 1000) + `]`), 422, "invalid_field", []string{"authors too_many"}},
		"wrong check digit":  {book(`isbn="0141439581"`), 422, "invalid_field", []string{"isbn check_digit"}},
		"unknown language":   {book(`language="xx-nonsense-language"`), 422, "invalid_field", []string{"language unknown"}},
		"unknown currency":   {book(`currency="ABC"`), 422, "invalid_field", []string{"currency unknown"}},
		"small currency":     {book(`currency="eur"`), 422, "invalid_field", []string{"currency unknown"}},
		"year ahead":         {book(`publishedYear=9999`), 422, "invalid_field", []string{"publishedYear out_of_range"}},
		"all at once": {
			`{"isbn":"1","quantity":-1,"language":"?"}`, 422, "invalid_field",
			[]string{"isbn check_digit", "title required", "authors required", "language unknown", "priceCents required", "currency required", "quantity out_of_range"},
		},
	}
	for name, c := range cases {
		for _, call := range []string{"POST /books", "PUT /books/by-source/bad"} {
			method, path, _ := strings.Cut(call, " ")
			got := s.do(method, path, c.body)
			if code, _ := got.body["code"].(string); got.StatusCode != c.status || code != c.code || !slices.Equal(got.fields(), c.fields) {
				t.Errorf("%s, %s: got %d %s", name, call, got.StatusCode, got.text)
			}
		}
	}
	if got := s.do("GET", "/books", ""); got.text != `{"items":[]}` {
		t.Errorf("stored: %s", got.text)
	}
}

func TestBadStockChangesAreRefused(t *testing.T) {
	s := open(t)
	path := s.add(emma) + "/stock"
	for body, want := range map[string]string{
		`{"delta":0}`: "invalid_field", `{"delta":1000001}`: "invalid_field", `{"delta":-1000001}`: "invalid_field",
		`{}`: "invalid_field", `{"delta":"1"}`: "malformed_request", `{"delta":1,"why":"x"}`: "malformed_request", ``: "unsupported_media_type",
	} {
		if got := s.do("POST", path, body); got.body["code"] != want {
			t.Errorf("%s: %s", body, got.text)
		}
	}
	s.want(s.do("POST", "/books/99/stock", `{"delta":1}`), 404, "book_not_found")
}

func TestAKeyReplaysItsOutcome(t *testing.T) {
	s := open(t)
	first := s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k"), 201, "")
	again := s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k"), 201, "")
	if again.text != first.text || first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %s after %s", again.text, first.text)
	}
	for _, name := range []string{"Location", "Etag", "Content-Type"} {
		if first.Header.Get(name) == "" || again.Header.Get(name) != first.Header.Get(name) {
			t.Errorf("%s is %q, was %q", name, again.Header.Get(name), first.Header.Get(name))
		}
	}
	s.want(s.do("POST", "/books/1/stock", `{"delta":1}`, "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	s.want(s.do("POST", "/books/1/stock", `{"delta":1}`, "Idempotency-Key", "k", "X-Caller", "token:b"), 200, "")
	s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k k"), 422, "invalid_field")
}

func TestAKeyReplaysARefusal(t *testing.T) {
	s := open(t)
	path := s.add(emma) + "/stock"
	first := s.want(s.do("POST", path, `{"delta":-9}`, "Idempotency-Key", "k", "X-Request-Id", "first"), 409, "out_of_stock")
	s.want(s.do("POST", path, `{"delta":90}`), 200, "")
	again := s.want(s.do("POST", path, `{"delta":-9}`, "Idempotency-Key", "k", "X-Request-Id", "second"), 409, "out_of_stock")
	if first.body["requestId"] != "first" || again.text != strings.Replace(first.text, `"first"`, `"second"`, 1) || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %s after %s", again.text, first.text)
	}
	taken := s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k2", "X-Request-Id", "id"), 422, "invalid_field")
	if again := s.do("POST", "/books", emma, "Idempotency-Key", "k2", "X-Request-Id", "id"); again.text != taken.text {
		t.Errorf("got %s after %s", again.text, taken.text)
	}
}

func TestABadRequestBindsNoKey(t *testing.T) {
	s := open(t)
	s.want(s.do("POST", "/books", `{"title":1}`, "Idempotency-Key", "k"), 400, "malformed_request")
	s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k"), 201, "")
}

func TestOneOfManyAtOnceIsDone(t *testing.T) {
	s := open(t)
	path := s.add(emma) + "/stock"
	var wg sync.WaitGroup
	answers := make([]answer, 12)
	for i := range answers {
		wg.Go(func() {
			answers[i] = s.do("POST", path, `{"delta":-1}`, "Idempotency-Key", "k"+strconv.Itoa(i%2))
		})
	}
	wg.Wait()
	for _, a := range answers {
		s.want(a, 200, "")
	}
	if got := s.do("GET", "/books/1/availability", ""); got.body["available"] != 1.0 {
		t.Errorf("two keys took %s", got.text)
	}
}
