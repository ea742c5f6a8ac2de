package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// hot answers /hot, refuses /refused, breaks on /broken and leaves the rest alone.
func hot(ctx *fasthttp.RequestCtx) (string, error) {
	switch string(ctx.Path()) {
	case "/hot":
		ctx.Response.Header.SetContentType(web.JSONType)
		ctx.Response.SetBodyString(`"hot"`)
		return "/:any", nil
	case "/refused":
		ctx.Response.Header.Set("X-Half", "done")
		return "/:any", fault.New(fault.RateLimited, "too fast")
	case "/broken":
		ctx.Response.Header.Set("X-Half", "done")
		panic("hunter2")
	}
	return "", nil
}

func TestTheExpressWayIsObservedAsTheUsualOne(t *testing.T) {
	var log bytes.Buffer
	registry, ready := prometheus.NewRegistry(), true
	app := web.New(web.Options{
		Registry: registry, Express: hot, ServedBy: "a1", Ready: func() bool { return ready },
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	app.Get("/:any", func(c *fiber.Ctx) error { return web.JSON(c, http.StatusOK, c.Params("any")) })

	for path, want := range map[string]string{"/hot": `"hot"`, "/cold": `"cold"`} {
		for given, kept := range map[string]bool{"mine-1": true, "": false, "no good": false} {
			got := send(t, app, request("GET", path, "", "X-Request-Id", given))
			id := got.Header.Get("X-Request-Id")
			if got.text != want || id == "" || (id == given) != kept || got.Header.Get("X-Served-By") != "a1" {
				t.Errorf("%s with id %q: %s %v", path, given, got.text, got.Header)
			}
		}
	}
	if got := send(t, app, request("HEAD", "/hot", "")); got.text != "" || got.ContentLength != 5 {
		t.Errorf("HEAD: %q, %d bytes announced", got.text, got.ContentLength)
	}
	if lines := log.String(); !strings.Contains(lines, `"path":"/hot","status":200`) {
		t.Errorf("not in the access log: %s", lines)
	}
	metrics := send(t, app, request("GET", "/metrics", "")).text
	for _, line := range []string{
		`http_requests_total{method="GET",route="/:any",status="200"} 6`,
		`http_requests_total{method="HEAD",route="/:any",status="200"} 1`,
		`http_request_duration_seconds_count{method="GET",route="/:any"} 6`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("%s is missing in\n%s", line, metrics)
		}
	}
	ready = false
	if got := send(t, app, request("GET", "/hot", "")); !got.Close {
		t.Error("a service that leaves keeps the connection")
	}
}

func TestTheExpressWayMayRefuse(t *testing.T) {
	registry := prometheus.NewRegistry()
	app := web.New(web.Options{Registry: registry, Express: hot})
	got := send(t, app, request("GET", "/refused", ""))
	if problem := got.problem(t); got.StatusCode != 429 || problem["code"] != "rate_limited" || got.Header.Get("X-Half") != "done" {
		t.Errorf("got %d %s %v", got.StatusCode, got.text, got.Header)
	}
	line := `http_requests_total{method="GET",route="/:any",status="429"} 1`
	if metrics := send(t, app, request("GET", "/metrics", "")).text; !strings.Contains(metrics, line) {
		t.Errorf("%s is missing in\n%s", line, metrics)
	}
}

func TestAPanicOnTheExpressWayIsAProblem(t *testing.T) {
	app := web.New(web.Options{Express: hot})
	got := send(t, app, request("GET", "/broken", ""))
	if problem := got.problem(t); got.StatusCode != 500 || problem["code"] != "internal" || strings.Contains(got.text, "hunter2") {
		t.Errorf("got %d %s", got.StatusCode, got.text)
	}
	if got.Header.Get("X-Half") != "" {
		t.Error("half of the answer was sent")
	}
}

func TestTheExpressWayCostsNothingOfItsOwn(t *testing.T) {
	app := web.New(web.Options{Express: hot, ServedBy: "a1"})
	handle, ctx := app.Server().Handler, &fasthttp.RequestCtx{}
	ctx.Request.SetRequestURI("/hot")
	ctx.Request.Header.Set("X-Request-Id", "mine-1")
	got := testing.AllocsPerRun(100, func() {
		ctx.Response.Reset()
		handle(ctx)
	})
	if got > 1 { // the body that hot copies
		t.Errorf("%v allocations", got)
	}
}

func TestProblemsAreReadAsTheyWereWritten(t *testing.T) {
	app := web.New(web.Options{})
	said := fault.New(fault.InvalidField, "the thing is no longer there")
	said.Details = map[string]any{"things": []any{map[string]any{"thingId": 1.0}}}
	app.Get("/", func(*fiber.Ctx) error { return said })
	got := send(t, app, request("GET", "/", ""))
	read := fault.ReadProblem(got.StatusCode, []byte(got.text))
	app.Get("/again", func(*fiber.Ctx) error { return read })
	again := send(t, app, request("GET", "/again", ""))
	first, second := got.problem(t), again.problem(t)
	delete(first, "requestId")
	delete(second, "requestId")
	if len(first) != len(second) || read.Kind != fault.InvalidField || read.Message != said.Message || second["things"] == nil {
		t.Errorf("%v became %v", first, second)
	}
	if read := fault.ReadProblem(http.StatusNotFound, []byte("no")); read.Kind != fault.NotFound || read.Details != nil {
		t.Errorf("plain words became %+v", read)
	}
}
