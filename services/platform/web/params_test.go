package web_test

import (
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

func TestPathIDs(t *testing.T) {
	app := web.New(web.Options{})
	app.Get("/n/:id", func(c *fiber.Ctx) error {
		id, err := web.PathInt64(c, "id")
		if err != nil {
			return err
		}
		return web.JSON(c, 200, id)
	})
	app.Get("/u/:id", func(c *fiber.Ctx) error {
		id, err := web.PathUUID(c, "id")
		if err != nil {
			return err
		}
		return web.JSON(c, 200, id)
	})
	for path, status := range map[string]int{
		"/n/1": 200, "/n/9223372036854775807": 200, "/n/9223372036854775808": 404, "/n/0": 404, "/n/-1": 404,
		"/n/01": 404, "/n/1.0": 404, "/n/abc": 404, "/n/%00": 404, "/n/1%20": 404,
		"/u/0198c1de-7b3a-7c51-9a6f-000000000001": 200, "/u/0198C1DE-7B3A-7C51-9A6F-000000000001": 200, "/u/0198c1DE-7b3a-7c51-9a6f-000000000001": 200, "/u/%300198c1d-7b3a-7c51-9a6f-000000000001": 404,
		"/u/0198c1de7b3a7c519a6f000000000001": 404, "/u/x": 404,
	} {
		if got := send(t, app, request("GET", path, "")); got.StatusCode != status {
			t.Errorf("%s: got %d, want %d", path, got.StatusCode, status)
		}
	}
}

func TestQueries(t *testing.T) {
	app := web.New(web.Options{})
	app.Get("/", func(c *fiber.Ctx) error {
		if err := web.AllowQuery(c, "q", "limit", "cursor"); err != nil {
			return err
		}
		q, err := web.Query(c, "q", 5)
		if err != nil {
			return err
		}
		limit, cursor, err := web.Page(c)
		if err != nil {
			return err
		}
		return web.JSON(c, 200, fiber.Map{"q": q, "limit": limit, "cursor": cursor})
	})
	cases := map[string]struct {
		status int
		field  string
	}{
		"":              {200, ""},
		"?q=h%C3%A9llo": {200, ""},
		"?limit=100":    {200, ""},
		"?colour=red":   {400, "colour"},
		"?q=a&q=b":      {400, "q"},
		"?q=toolong":    {422, "q"},
		"?q=%00":        {422, "q"},
		"?q=%FF":        {422, "q"},
		"?limit=0":      {422, "limit"},
		"?limit=101":    {422, "limit"},
		"?limit=ten":    {422, "limit"},
		"?%FF=1":        {400, "\uFFFD"},
	}
	for query, c := range cases {
		got := send(t, app, request("GET", "/"+query, ""))
		if got.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", query, got.StatusCode, c.status)
		}
		if c.field == "" {
			continue
		}
		errors, _ := got.problem(t)["errors"].([]any)
		if len(errors) != 1 || errors[0].(map[string]any)["field"] != c.field {
			t.Errorf("%s: errors %v", query, errors)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	app := web.New(web.Options{})
	app.Post("/", func(c *fiber.Ctx) error {
		key, err := web.IdempotencyKey(c)
		if err != nil {
			return err
		}
		return web.JSON(c, 200, key)
	})
	for key, status := range map[string]int{
		"k-1": 200, strings.Repeat("x", 128): 200, strings.Repeat("x", 129): 422, "a b": 422, "é": 422,
	} {
		if got := send(t, app, request("POST", "/", "", "Idempotency-Key", key)); got.StatusCode != status {
			t.Errorf("%q: got %d, want %d", key, got.StatusCode, status)
		}
	}
	if got := send(t, app, request("POST", "/", "")); got.text != `""` {
		t.Errorf("absent: got %s", got.text)
	}
}

func TestCursors(t *testing.T) {
	type place struct {
		ID int64 `json:"i"`
	}
	var got place
	if err := web.DecodeCursor(web.EncodeCursor(place{7}), &got); err != nil || got.ID != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"%", "e30=", "e30", "eyJpIjoiNyJ9", "eyJ4IjoxfQ"} {
		err := web.DecodeCursor(bad, &place{})
		if bad == "e30" { // {}
			if err != nil {
				t.Errorf("an empty place: %v", err)
			}
			continue
		}
		if f := fault.As(err); f == nil || f.Kind != fault.InvalidField || f.Fields[0].Field != "cursor" {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// A filter that was left empty is not one that was left out.
func TestAParameterHasAValueOrIsLeftOut(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	app.Get("/", func(c *fiber.Ctx) error {
		if err := web.AllowQuery(c, "ownerId", "limit", "cursor"); err != nil {
			return err
		}
		return web.JSON(c, 200, "")
	})
	for query, field := range map[string]string{
		"?ownerId=&limit=50": "ownerId", "?ownerId": "ownerId", "?limit=50&cursor=": "cursor", "?limit=": "limit", "?ownerId=a&limit=": "limit",
	} {
		got := send(t, app, request("GET", "/"+query, ""))
		errs, _ := got.problem(t)["errors"].([]any)
		if got.StatusCode != 422 || len(errs) != 1 || errs[0].(map[string]any)["field"] != field {
			t.Errorf("%s: %d %s", query, got.StatusCode, got.text)
		}
	}
	for query, status := range map[string]int{"": 200, "?": 200, "?ownerId=a": 200, "?x=": 400, "?limit=1&limit=": 400} {
		if got := send(t, app, request("GET", "/"+query, "")); got.StatusCode != status {
			t.Errorf("%q: %d %s", query, got.StatusCode, got.text)
		}
	}
}
