package bookshttp_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
)

// A cursor that a client made up is refused or is a place in the list, never a
// failure of the shop.
func TestMadeUpCursors(t *testing.T) {
	s := open(t)
	for i := range 6 {
		s.shelve(fmt.Sprint("Love ", i), "Ann Author", "en", i)
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
