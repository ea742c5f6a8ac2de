package web_test

import (
	"testing"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/platform/web"
)

func TestAccept(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	app.Get("/json", web.AcceptJSON, func(c *fiber.Ctx) error { return web.JSON(c, 200, "") })
	app.Get("/events", web.AcceptEvents, func(c *fiber.Ctx) error { return c.SendString("") })
	for _, c := range []struct {
		path   string
		want   int
		accept []string
	}{
		{"/json", 200, nil},
		{"/json", 200, []string{""}},
		{"/json", 200, []string{" , "}},
		{"/json", 200, []string{"*/*"}},
		{"/json", 200, []string{"application/*"}},
		{"/json", 200, []string{"application/json"}},
		{"/json", 200, []string{"application/json; charset=utf-8"}},
		{"/json", 200, []string{"application/json;charset=UTF-8;q=0.3"}},
		{"/json", 200, []string{"Application/JSON ; Q=0.5"}},
		{"/json", 200, []string{"application/json;indent=\"a,b;q=0\""}},
		{"/json", 200, []string{"application/problem+json"}},
		{"/json", 200, []string{"text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"}},
		{"/json", 200, []string{"text/html, image/gif, *; q=.2"}},
		{"/json", 200, []string{"text/html", "application/json"}},
		{"/json", 200, []string{"text/html,\tapplication/json"}},
		{"/json", 200, []string{"application/json;q=what"}},
		{"/json", 200, []string{"*/*;q=0, application/json;q=0.1"}},
		{"/json", 406, []string{"text/html"}},
		{"/json", 406, []string{"text/*"}},
		{"/json", 406, []string{"json"}},
		{"/json", 406, []string{"application/jsonp"}},
		{"/json", 406, []string{"application/json;q=0"}},
		{"/json", 406, []string{"application/json; q=0.000, text/html"}},
		{"/json", 406, []string{"*/*;q=0"}},
		{"/json", 406, []string{"application/*;q=0, */*"}},
		{"/json", 406, []string{"\"application/json"}},
		{"/events", 200, []string{"text/event-stream"}},
		{"/events", 200, []string{"text/event-stream;charset=utf-8"}},
		{"/events", 200, []string{"text/*"}},
		{"/events", 406, []string{"application/json"}},
	} {
		r := request("GET", c.path, "")
		for _, line := range c.accept {
			r.Header.Add("Accept", line)
		}
		if got := send(t, app, r); got.StatusCode != c.want {
			t.Errorf("%s %q: got %d, want %d", c.path, c.accept, got.StatusCode, c.want)
		}
	}
}
