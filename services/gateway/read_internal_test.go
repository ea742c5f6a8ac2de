package gateway

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"bookstore/services/gateway/limit"
	"bookstore/services/platform/web"
)

// living is a lease that never ends.
type living struct{}

func (living) Live() bool { return true }

// front is a gateway with a lease, before a service with book 1.
type front struct {
	*Gateway
	app   *fiber.App
	calls atomic.Int64
}

func openFront(t testing.TB) *front {
	t.Helper()
	f := &front{}
	books := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.calls.Add(1)
		if r.URL.Path != "/books/1" {
			w.Header().Set("Content-Type", web.ProblemType)
			w.Header().Set("X-Highest-Book-Id", "1")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code":"book_not_found","detail":"none"}`))
			return
		}
		w.Header().Set("Content-Type", web.JSONType)
		w.Header().Set("ETag", `"4.7"`)
		_, _ = w.Write([]byte(`{"id":1,"title":"Emma","authors":["Jane Austen"],"priceCents":899,"currency":"GBP","quantity":3}`))
	}))
	t.Cleanup(books.Close)
	address, err := url.Parse(books.URL)
	if err != nil {
		t.Fatal(err)
	}
	known, err := parseTokens([]byte("bench client s3cret-client rate=1000000 burst=1000000 inflight=1000\n"))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	f.Gateway, err = New(Options{
		Upstreams: map[Upstream]*url.URL{Books: address, Orders: address, Coordinator: address},
		Tokens:    &Tokens{&watched[[]knownToken]{value: known}}, Registry: registry, Log: slog.New(slog.DiscardHandler),
		Limits: limit.Limits{Rate: 1e6, Burst: 1e6, InFlight: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	f.books.Follow(living{})
	f.app = web.New(web.Options{Service: "gateway", Registry: registry, Express: f.Express, ServedBy: "a1"})
	f.Register(f.app)
	f.app.Handler() // makes the app ready to serve
	return f
}

// serve makes a request to the given handler: the server's, which has the express
// way, or the app's, which has not.
func serve(handle fasthttp.RequestHandler, method, uri string, headers ...string) *fasthttp.RequestCtx {
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(uri)
	ctx.Request.Header.Set("X-Request-Id", "mine-1")
	for i := 0; i+1 < len(headers); i += 2 {
		ctx.Request.Header.Set(headers[i], headers[i+1])
	}
	handle(ctx)
	return ctx
}

func headersOf(ctx *fasthttp.RequestCtx) map[string]string {
	found := map[string]string{}
	ctx.Response.Header.VisitAll(func(key, value []byte) { found[string(key)] = string(value) })
	return found
}

// TestTheExpressWayAnswersAsTheUsualOne compares both for requests that it
// takes, and for such as it leaves alone.
func TestTheExpressWayAnswersAsTheUsualOne(t *testing.T) {
	f := openFront(t)
	express, usual := f.app.Server().Handler, f.app.Handler()
	serve(usual, "GET", "/books/1")
	serve(usual, "GET", "/books/2")
	cases := []struct {
		taken       bool
		method, uri string
		headers     []string
		status      int
	}{
		{true, "GET", "/books/1", nil, 200},
		{true, "HEAD", "/books/1", nil, 200},
		{true, "GET", "/books/1", []string{"If-None-Match", `"4.7"`}, 304},
		{true, "GET", "/books/1", []string{"If-None-Match", `"4.8"`}, 200},
		{true, "GET", "/books/1", []string{"Authorization", "Bearer s3cret-client", "Accept", "*/*"}, 200},
		{true, "GET", "/books/1", []string{"Accept", "application/json"}, 200},
		{true, "GET", "/books/1", []string{"X-Request-Id", "no good"}, 200},
		{false, "GET", "/books/1", []string{"Authorization", "Bearer nobody"}, 401},
		{false, "GET", "/books/1", []string{"Authorization", "bearer s3cret-client"}, 200},
		{false, "GET", "/books/1", []string{"Accept", "text/html"}, 406},
		{false, "GET", "/books/1", []string{"Accept", "application/json, text/html"}, 200},
		{false, "GET", "/books/1", []string{"Content-Encoding", "gzip"}, 415},
		{false, "GET", "/books/1?", nil, 200},
		{false, "GET", "/books/2", nil, 404},
		{false, "GET", "/books/3", nil, 404},
		{false, "GET", "/books/01", nil, 404},
		{false, "GET", "/books/", nil, 404},
		{false, "GET", "/books/1/availability", nil, 404},
		{false, "GET", "/books/9223372036854775807", nil, 404},
		{false, "DELETE", "/orders", nil, 405},
	}
	for _, c := range cases {
		probe := &fasthttp.RequestCtx{}
		probe.Request.Header.SetMethod(c.method)
		probe.Request.SetRequestURI(c.uri)
		for i := 0; i+1 < len(c.headers); i += 2 {
			probe.Request.Header.Set(c.headers[i], c.headers[i+1])
		}
		if route, err := f.Express(probe); (route == bookPattern) != c.taken || err != nil {
			t.Errorf("%s %s %v: taken as %q, %v", c.method, c.uri, c.headers, route, err)
		}
		first, second := serve(express, c.method, c.uri, c.headers...), serve(usual, c.method, c.uri, c.headers...)
		if got := first.Response.StatusCode(); got != c.status || second.Response.StatusCode() != c.status {
			t.Errorf("%s %s %v: %d by express, %d else, want %d", c.method, c.uri, c.headers, got, second.Response.StatusCode(), c.status)
		}
		one, two := headersOf(first), headersOf(second)
		if id := one["X-Request-Id"]; len(id) != 6 && len(id) != 26 {
			t.Errorf("request id %q", id)
		}
		for _, changing := range []string{"X-Request-Id", "Age", "Ratelimit-Remaining", "Ratelimit-Reset"} {
			delete(one, changing)
			delete(two, changing)
		}
		if !maps.Equal(one, two) {
			t.Errorf("%s %s %v:\n%v by express,\n%v else", c.method, c.uri, c.headers, one, two)
		}
		if c.status < 400 && string(first.Response.Body()) != string(second.Response.Body()) {
			t.Errorf("%s %s: %s by express, %s else", c.method, c.uri, first.Response.Body(), second.Response.Body())
		}
	}
}

func TestABookIsReadFromTheServiceOnce(t *testing.T) {
	f := openFront(t)
	for i := range 10 {
		ctx := serve(f.app.Server().Handler, "GET", "/books/1")
		if got := string(ctx.Response.Header.Peek("X-Cache")); (got == "miss") != (i == 0) || (got == "near") != (i > 0) {
			t.Errorf("read %d came from %s", i, got)
		}
		for _, missing := range []string{"/books/2", "/books/77", "/books/123456789"} {
			serve(f.app.Server().Handler, "GET", missing)
		}
	}
	if n := f.calls.Load(); n != 2 {
		t.Errorf("the service had %d calls", n)
	}
}

// hot is a request for a near book as the ingress passes it on, to be made
// again and again.
func hot(t testing.TB) (do func()) {
	t.Helper()
	f := openFront(t)
	handle := f.app.Server().Handler
	serve(f.app.Handler(), "GET", "/books/1")
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.Header.SetMethod("GET")
	ctx.Request.SetRequestURI("/books/1")
	for name, value := range map[string]string{
		"Host": "127.0.0.1:8080", "X-Request-Id": "4b1bd0a6-9bd6-4d1c-8f3e-0f3c2b9f9f66", "X-Client-Address": "127.0.0.1", "X-Request-Start": "t=1795471934.102938",
		"X-Forwarded-Proto": "http", "Authorization": "Bearer s3cret-client", "Accept": "*/*", "User-Agent": "bench",
	} {
		ctx.Request.Header.Set(name, value)
	}
	return func() {
		ctx.Response.Reset()
		handle(ctx)
		if ctx.Response.StatusCode() != http.StatusOK || string(ctx.Response.Header.Peek(headerCache)) != "near" {
			t.Errorf("answered %d %s", ctx.Response.StatusCode(), ctx.Response.Body())
		}
	}
}

func TestANearHitAllocatesLittle(t *testing.T) {
	if got := testing.AllocsPerRun(1000, hot(t)); got >= 10 {
		t.Errorf("a near hit allocates %v times", got)
	}
}

func BenchmarkNearHit(b *testing.B) {
	do := hot(b)
	b.ReportAllocs()
	for b.Loop() {
		do()
	}
}
