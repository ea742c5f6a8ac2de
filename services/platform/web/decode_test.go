package web_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

type line struct {
	ThingID  int64 `json:"thingId"`
	Quantity int32 `json:"quantity"`
}

type order struct {
	Owner string               `json:"ownerId"`
	Items []line               `json:"items"`
	Note  web.Optional[string] `json:"note"`
}

func TestUnmarshalNamesWhatIsWrong(t *testing.T) {
	cases := map[string]struct{ body, field, code string }{
		"empty":              {"", "", "required"},
		"blank":              {" \n", "", "required"},
		"not JSON":           {"{ownerId:1}", "", "syntax"},
		"cut off":            {`{"ownerId":"a"`, "", "syntax"},
		"unknown field":      {`{"colour":"red"}`, "colour", "unknown_field"},
		"unknown, deeper":    {`{"items":[{"thingId":1},{"colour":2}]}`, "items[1].colour", "unknown_field"},
		"other case":         {`{"OwnerId":"a"}`, "OwnerId", "unknown_field"},
		"text for number":    {`{"items":[{"thingId":"1"}]}`, "items[0].thingId", "wrong_type"},
		"fraction":           {`{"items":[{"thingId":1.5}]}`, "items[0].thingId", "wrong_type"},
		"out of int32":       {`{"items":[{"quantity":2147483648}]}`, "items[0].quantity", "wrong_type"},
		"out of int64":       {`{"items":[{"thingId":99999999999999999999}]}`, "items[0].thingId", "wrong_type"},
		"exponent":           {`{"items":[{"thingId":1e400}]}`, "items[0].thingId", "wrong_type"},
		"object for array":   {`{"items":{}}`, "items", "wrong_type"},
		"array at the top":   {`[]`, "", "wrong_type"},
		"wrong optional":     {`{"note":1}`, "note", "wrong_type"},
		"NUL":                {`{"ownerId":"a\u0000b"}`, "ownerId", "nul_character"},
		"NUL in a name":      {`{"a\u0000":1}`, "a\x00", "nul_character"},
		"raw NUL":            {"{\"ownerId\":\"a\x00\"}", "ownerId", "syntax"},
		"invalid UTF-8":      {"{\"ownerId\":\"\xff\"}", "ownerId", "invalid_utf8"},
		"half a surrogate":   {`{"ownerId":"\ud800"}`, "", "syntax"},
		"given twice":        {`{"ownerId":"a","ownerId":"b"}`, "ownerId", "duplicate_field"},
		"trailing value":     {`{"ownerId":"a"} {}`, "", "trailing_data"},
		"trailing text":      {`{"ownerId":"a"}x`, "", "trailing_data"},
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
		`{"ownerId":"a","items":[{"thingId":1,"quantity":2}],"note":null}`, `{"a":`, `[]`, "\xff", `"\u0000"`,
		`{"items":[{"thingId":1e9}]}`, `{"ownerId":"\ud83d\ude00"}`, `{} {}`,
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
		for _, text := range []string{v.Owner, v.Note.Value} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				t.Fatalf("%q: accepted %q", body, text)
			}
		}
	})
}

// place is what cursors hold.
type place struct {
	Title string `json:"t"`
	ID    int64  `json:"id"`
}

// FuzzDecodeCursor: whatever a client sends is a place in the list, or refused
// as no cursor; and a place that is read is the place that was written.
func FuzzDecodeCursor(f *testing.F) {
	for _, seed := range []string{
		"", "x", "=", "e30", "bnVsbA", "W10", "eyJ0IjoiYSIsImlkIjoxfQ", "eyJ0IjoiYSIsImlkIjoxfQ==", "eyJ4IjoxfQ", "/w", "IlwwMDAwIg",
		web.EncodeCursor(place{"\u00fc", -1}),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p, again place
		if err := web.DecodeCursor(text, &p); err != nil {
			if e := fault.As(err); e.Kind != fault.InvalidField || len(e.Fields) != 1 || e.Fields[0].Field != "cursor" {
				t.Fatalf("%q: refused as %+v", text, e)
			}
			return
		}
		if err := web.DecodeCursor(web.EncodeCursor(p), &again); err != nil || again != p {
			t.Fatalf("%q: %+v became %+v, %v", text, p, again, err)
		}
	})
}

// FuzzHeaders: no header that is read makes a request fail by the service's
// own fault, and what is accepted is what was sent.
func FuzzHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"0", "a"}, {"9223372036854775807", "~"}, {"-1", ""}, {"18446744073709551616", "ü"}, {"1e3", " "}, {"\x00", "a b"}, {"٣", "k"},
	} {
		f.Add(seed[0], seed[1], "application/json", "100")
	}
	f.Add("1", "k", "application/json; charset=utf-8", "-1")
	f.Add("1", "k", "application/json; charset=", "9999999999999999999999")
	app := web.New(web.Options{})
	app.Post("/", func(c *fiber.Ctx) error {
		last, err := web.LastEventID(c)
		if err != nil {
			return err
		}
		key, err := web.IdempotencyKey(c)
		if err != nil {
			return err
		}
		if err := web.DecodeJSON(c, &struct{}{}); err != nil {
			return err
		}
		return web.JSON(c, http.StatusOK, []any{strconv.FormatInt(last, 10), key})
	})
	f.Fuzz(func(t *testing.T, last, key, media, ms string) {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		for name, value := range map[string]string{"Last-Event-ID": last, "Idempotency-Key": key, "Content-Type": media, web.HeaderTimeout: ms} {
			r.Header.Set(name, value)
		}
		response, err := app.Test(r, -1)
		if err != nil {
			return // not to be sent over HTTP at all
		}
		_ = response.Body.Close()
		if response.StatusCode >= http.StatusInternalServerError {
			t.Fatalf("%q %q %q %q: %d", last, key, media, ms, response.StatusCode)
		}
	})
}

// FuzzAccept: no Accept header fails, and whoever takes JSON in words of its own,
// or anything at all, is answered.
func FuzzAccept(f *testing.F) {
	for _, seed := range []string{"", "*/*", "text/html;q=0.5", "application/json;q=0", `a/b;c="\",`, ";;,,==", "application/*;q=1.5", "\"", "*;q=.2"} {
		f.Add(seed)
	}
	app := web.New(web.Options{})
	app.Get("/", web.AcceptJSON, func(c *fiber.Ctx) error { return web.JSON(c, http.StatusOK, "") })
	call := func(t *testing.T, lines ...string) int {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Accept"] = lines
		response, err := app.Test(r, -1)
		if err != nil {
			return 0 // not to be sent over HTTP at all
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	f.Fuzz(func(t *testing.T, text string) {
		if status := call(t, text); status != 0 && status != http.StatusOK && status != http.StatusNotAcceptable && status != http.StatusBadRequest {
			t.Fatalf("%q: %d", text, status)
		}
		if status := call(t, "Application/JSON ;q=1", text); status == http.StatusNotAcceptable {
			t.Fatalf("%q beside JSON itself: %d", text, status)
		}
	})
}
