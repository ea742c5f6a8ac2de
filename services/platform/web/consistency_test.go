package web_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

func TestEveryWriteThatSucceedsGivesAToken(t *testing.T) {
	app := web.New(web.Options{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
	app.Use("/things", web.TellConsistency(func(context.Context) string { return "T" }))
	app.Get("/things", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusOK) })
	app.Post("/things", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusCreated) })
	app.Post("/things/refused", func(*fiber.Ctx) error { return fault.New(fault.VersionMismatch, "no") })
	app.Post("/others", func(c *fiber.Ctx) error { return c.SendStatus(http.StatusCreated) })
	ask := func(method, path string, status int, want string) {
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
	ask("POST", "/things", 201, "T")
	ask("GET", "/things", 200, "")
	ask("POST", "/things/refused", 412, "")
	ask("POST", "/others", 201, "")
	ask("PUT", "/things", 405, "")
	ask("POST", "/things/nowhere", 404, "")
}
