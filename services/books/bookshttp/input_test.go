package bookshttp_test

import (
	"slices"
	"strings"
	"testing"
)

// TestBadInputIsRefusedByName sends what must not come in: each a problem that
// names the field, nothing stored, never a 5xx.
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

func TestPathsAndMethodsAreRefused(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	for call, want := range map[string]string{
		"GET /books/abc": "404 book_not_found", "GET /books/0": "404 book_not_found", "GET /books/-1": "404 book_not_found",
		"GET /books/99999999999999999999": "404 book_not_found", "GET /books/2": "404 book_not_found", "DELETE /books/2": "404 book_not_found",
		"GET /books/%00": "404 book_not_found", "GET /books/1%20or%201": "404 book_not_found", "GET /books/x/availability": "404 book_not_found",
		"GET " + path + "?x=1": "400 unexpected_parameter", "GET " + path + "/availability?q=1": "400 unexpected_parameter",
		"GET /books?page=2": "400 unexpected_parameter", "GET /books?limit=0": "422 invalid_field", "GET /books?sort=colour": "422 invalid_field",
		"GET /books?cursor=zzz": "422 invalid_field", "GET /books?q=%00": "422 invalid_field", "GET /books?language=%3F": "422 invalid_field",
		"POST " + path: "405 method_not_allowed", "DELETE /books": "405 method_not_allowed", "GET " + path + "/stock": "405 method_not_allowed",
		"GET /bookss": "404 not_found",
	} {
		method, path, _ := strings.Cut(call, " ")
		status, code, _ := strings.Cut(want, " ")
		got := s.do(method, path, "")
		if got.Status[:3] != status || got.body["code"] != code {
			t.Errorf("%s: got %d %s, want %s", call, got.StatusCode, got.text, want)
		}
	}
	s.want(s.do("POST", "/books", "<book/>", "Content-Type", "application/xml"), 415, "unsupported_media_type")
	s.want(s.do("POST", "/books", `{"title":"`+strings.Repeat("x", 10<<20)+`"}`), 413, "body_too_large")
	s.want(s.do("GET", "/books", "", "Accept", "text/html"), 406, "not_acceptable")
}
