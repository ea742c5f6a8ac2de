package web_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

type line struct {
	BookID   int64 `json:"bookId"`
	Quantity int32 `json:"quantity"`
}

type order struct {
	Customer string               `json:"customerId"`
	Items    []line               `json:"items"`
	Note     web.Optional[string] `json:"note"`
}

func TestUnmarshalNamesWhatIsWrong(t *testing.T) {
	cases := map[string]struct{ body, field, code string }{
		"empty":              {"", "", "required"},
		"blank":              {" \n", "", "required"},
		"not JSON":           {"{customerId:1}", "", "syntax"},
		"cut off":            {`{"customerId":"a"`, "", "syntax"},
		"unknown field":      {`{"colour":"red"}`, "colour", "unknown_field"},
		"unknown, deeper":    {`{"items":[{"bookId":1},{"price":2}]}`, "items[1].price", "unknown_field"},
		"other case":         {`{"CustomerId":"a"}`, "CustomerId", "unknown_field"},
		"text for number":    {`{"items":[{"bookId":"1"}]}`, "items[0].bookId", "wrong_type"},
		"fraction":           {`{"items":[{"bookId":1.5}]}`, "items[0].bookId", "wrong_type"},
		"out of int32":       {`{"items":[{"quantity":2147483648}]}`, "items[0].quantity", "wrong_type"},
		"out of int64":       {`{"items":[{"bookId":99999999999999999999}]}`, "items[0].bookId", "wrong_type"},
		"exponent":           {`{"items":[{"bookId":1e400}]}`, "items[0].bookId", "wrong_type"},
		"object for array":   {`{"items":{}}`, "items", "wrong_type"},
		"array at the top":   {`[]`, "", "wrong_type"},
		"wrong optional":     {`{"note":1}`, "note", "wrong_type"},
		"NUL":                {`{"customerId":"a\u0000b"}`, "customerId", "nul_character"},
		"NUL in a name":      {`{"a\u0000":1}`, "a\x00", "nul_character"},
		"raw NUL":            {"{\"customerId\":\"a\x00\"}", "customerId", "syntax"},
		"invalid UTF-8":      {"{\"customerId\":\"\xff\"}", "customerId", "invalid_utf8"},
		"half a surrogate":   {`{"customerId":"\ud800"}`, "", "syntax"},
		"given twice":        {`{"customerId":"a","customerId":"b"}`, "customerId", "duplicate_field"},
		"trailing value":     {`{"customerId":"a"} {}`, "", "trailing_data"},
		"trailing text":      {`{"customerId":"a"}x`, "", "trailing_data"},
		"two numbers":        {`1 2`, "", "trailing_data"},
		"nested without end": {strings.Repeat("[", 20_000), "", "syntax"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var v order
			f := fault.As(web.Unmarshal([]byte(c.body), &v))
			if f == nil {
				t.Fatalf("accepted: %+v", v)
			}
			if f.Kind != fault.MalformedRequest || len(f.Fields) != 1 {
				t.Fatalf("got %+v", f)
			}
			if f.Fields[0].Code != c.code || (c.code != "syntax" && f.Fields[0].Field != c.field) {
				t.Errorf("got %s for %q, want %s for %q", f.Fields[0].Code, f.Fields[0].Field, c.code, c.field)
			}
		})
	}
}

func TestUnmarshalTellsAbsentFromNull(t *testing.T) {
	cases := map[string]web.Optional[string]{
		`{}`:            {},
		`{"note":null}`: {Set: true, Null: true},
		`{"note":"x"}`:  {Set: true, Value: "x"},
	}
	for body, want := range cases {
		var v order
		if err := web.Unmarshal([]byte(body), &v); err != nil || v.Note != want {
			t.Errorf("%s: got %+v, %v", body, v.Note, err)
		}
	}
}

// FuzzUnmarshal holds the decoder to: no panic, every refusal a malformed
// request with one named reason, nothing accepted that could not be stored.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{"customerId":"a","items":[{"bookId":1,"quantity":2}],"note":null}`, `{"a":`, `[]`, "\xff", `"\u0000"`,
		`{"items":[{"bookId":1e9}]}`, `{"customerId":"\ud83d\ude00"}`, `{} {}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v order
		if err := web.Unmarshal(body, &v); err != nil {
			if e := fault.As(err); e.Kind != fault.MalformedRequest || len(e.Fields) != 1 || e.Fields[0].Code == "" {
				t.Fatalf("%q: refused as %+v", body, e)
			}
			return
		}
		for _, text := range []string{v.Customer, v.Note.Value} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Fatalf("%q: accepted %q", body, text)
			}
		}
	})
}
