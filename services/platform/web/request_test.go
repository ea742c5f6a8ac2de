package web_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

var made = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// At the door the id of a request is ours, whichever way it goes; the client's own
// is another field, and only a sane one.
func TestAtTheDoorTheIDOfARequestIsOurs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	app := web.New(web.Options{
		Door: true, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Express: func(ctx *fasthttp.RequestCtx) (string, error) {
			if string(ctx.Path()) != "/express" {
				return "", nil
			}
			return "/express", nil
		},
	})
	app.Get("/", func(c *fiber.Ctx) error { return web.JSON(c, 200, web.RequestID(web.Context(c))) })
	seen := map[string]bool{}
	for _, path := range []string{"/", "/express", "/nowhere"} {
		for theirs, back := range map[string]string{"a.B-1": "a.B-1", "a b": "", "": "", strings.Repeat("x", 65): ""} {
			got := send(t, app, request("GET", path, "", "X-Request-Id", "forged", "X-Client-Request-Id", theirs))
			id := got.Header.Get("X-Request-Id")
			if !made.MatchString(id) || seen[id] {
				t.Errorf("%s has the id %q", path, id)
			}
			seen[id] = true
			if got.Header.Get("X-Client-Request-Id") != back {
				t.Errorf("%s: %q was given back as %q", path, theirs, got.Header.Get("X-Client-Request-Id"))
			}
			if path == "/" && got.text != `"`+id+`"` {
				t.Errorf("the context has %s, the answer %s", got.text, id)
			}
		}
	}
	if text := log.String(); strings.Count(text, "client_request_id=a.B-1") != 3 || strings.Contains(text, "forged") {
		t.Errorf("the log says %s", text)
	}
}

func TestEveryAnswerSaysHowItMayBeTaken(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{Express: func(ctx *fasthttp.RequestCtx) (string, error) {
		if string(ctx.Path()) != "/express" {
			return "", nil
		}
		return "/express", nil
	}})
	app.Get("/private", func(c *fiber.Ctx) error { return web.JSON(c, 200, "") })
	app.Get("/public", func(c *fiber.Ctx) error {
		c.Set("Cache-Control", "public, max-age=300")
		return web.JSON(c, 200, "")
	})
	app.Get("/fails", func(*fiber.Ctx) error { return fault.New(fault.Unavailable, "") })
	for _, c := range [][3]string{
		{"GET", "/private", "no-store"},
		{"GET", "/public", "public, max-age=300"},
		{"GET", "/fails", "no-store"},
		{"GET", "/express", "no-store"},
		{"GET", "/nowhere", "no-store"},
		{"BREW", "/private", "no-store"},
		{"DELETE", "/private", "no-store"},
	} {
		got := send(t, app, request(c[0], c[1], ""))
		if got.Header.Get("X-Content-Type-Options") != "nosniff" || got.Header.Get("Cache-Control") != c[2] || got.Header.Get("Server") != "" {
			t.Errorf("%s %s was answered with %v", c[0], c[1], got.Header)
		}
	}
}

// What the door itself answers is final for the proxies before it; a service behind
// it may be repeated.
func TestWhatTheDoorAnswersIsFinal(t *testing.T) {
	t.Parallel()
	for _, door := range []bool{false, true} {
		app := web.New(web.Options{Door: door})
		app.Get("/:kind", func(c *fiber.Ctx) error { return fault.New(fault.Kind(c.Params("kind")), "") })
		for kind, final := range map[fault.Kind]bool{
			fault.Unavailable: door, fault.DeadlineExceeded: door, fault.OutcomeUnknown: door,
			fault.Overloaded: true, fault.CircuitOpen: true, fault.Internal: false, fault.NotFound: false,
		} {
			got := send(t, app, request("GET", "/"+string(kind), ""))
			if (got.Header.Get(web.HeaderFinal) != "") != final {
				t.Errorf("door %t: %s is answered with %v", door, kind, got.Header)
			}
		}
	}
}

func TestEveryWriteThatSucceedsGivesAToken(t *testing.T) {
	app := web.New(web.Options{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	app.Use("/things", web.TellConsistency(func(context.Context) string { return "T" }))
	app.Get("/things", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusOK) })
	app.Post("/things", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusCreated) })
	app.Post("/things/refused", func(*fiber.Ctx) error { return fault.New(fault.VersionMismatch, "no") })
	app.Post("/others", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusCreated) })
	call := func(method, path string, status int, want string) {
		t.Helper()
		a, err := app.Test(httptest.NewRequest(method, path, nil), -1)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		if got := a.Header.Get("X-Consistency-Token"); a.StatusCode != status || got != want {
			t.Errorf("%s %s: %d with %q, want %d with %q", method, path, a.StatusCode, got, status, want)
		}
	}
	call("POST", "/things", 201, "T")
	call("GET", "/things", 200, "")
	call("POST", "/things/refused", 412, "")
	call("POST", "/others", 201, "")
	call("PUT", "/things", 405, "")
	call("POST", "/things/nowhere", 404, "")
}
