package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// answer is a response with its body read.
type answer struct {
	*http.Response
	text string
}

// problem is the body of a failure.
func (a answer) problem(t *testing.T) map[string]any {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != web.ProblemType {
		t.Errorf("content type %q of %q", got, a.text)
	}
	var p map[string]any
	if err := json.Unmarshal([]byte(a.text), &p); err != nil {
		t.Fatalf("%v in %q", err, a.text)
	}
	if p["requestId"] == "" || p["requestId"] != a.Header.Get("X-Request-Id") {
		t.Errorf("request id %v, header %q", p["requestId"], a.Header.Get("X-Request-Id"))
	}
	if p["status"] != float64(a.StatusCode) || p["type"] == nil || p["title"] == nil {
		t.Errorf("not a whole problem: %v", p)
	}
	return p
}

func send(t *testing.T, app *fiber.App, r *http.Request) answer {
	t.Helper()
	response, err := app.Test(r, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response, string(text)}
}

func request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestFailuresAreProblems(t *testing.T) {
	app := web.New(web.Options{})
	app.Get("/plain", func(*fiber.Ctx) error { return errors.New("password=hunter2") })
	app.Get("/panic", func(*fiber.Ctx) error { panic("hunter2") })
	app.Get("/late", func(*fiber.Ctx) error { return context.DeadlineExceeded })
	app.Get("/busy", func(*fiber.Ctx) error { return fault.New(fault.Contended, "busy") })
	app.Post("/json", func(c *fiber.Ctx) error { return web.DecodeJSON(c, new(struct{})) })
	app.Get("/accept", web.AcceptJSON, func(c *fiber.Ctx) error { return web.JSON(c, 200, "") })
	cases := []struct {
		method, path string
		headers      []string
		status       int
		code         string
	}{
		{"GET", "/plain", nil, 500, "internal"},
		{"GET", "/panic", nil, 500, "internal"},
		{"GET", "/late", nil, 504, "deadline_exceeded"},
		{"GET", "/busy", nil, 409, "contended"},
		{"GET", "/nowhere", nil, 404, "not_found"},
		{"BREW", "/nowhere", nil, 404, "not_found"},
		{"GET", "/plain/", nil, 404, "not_found"},
		{"DELETE", "/plain", nil, 405, "method_not_allowed"},
		{"BREW", "/plain", nil, 405, "method_not_allowed"},
		{"POST", "/json", nil, 415, "unsupported_media_type"},
		{"POST", "/json", []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type"},
		{"POST", "/json", []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported_media_type"},
		{"POST", "/json", []string{"Content-Type", "application/json; charset=UTF-8"}, 400, "malformed_request"},
		{"GET", "/accept", []string{"Accept", "text/html"}, 406, "not_acceptable"},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			got := send(t, app, request(c.method, c.path, "", c.headers...))
			problem := got.problem(t)
			if got.StatusCode != c.status || problem["code"] != c.code {
				t.Errorf("got %d %v, want %d %s", got.StatusCode, problem["code"], c.status, c.code)
			}
			if strings.Contains(got.text, "hunter2") {
				t.Errorf("the cause shows: %s", got.text)
			}
		})
	}
	for _, method := range []string{"DELETE", "BREW"} {
		if got := send(t, app, request(method, "/plain", "")).Header.Get("Allow"); got != "GET, HEAD" {
			t.Errorf("%s /plain: Allow is %q", method, got)
		}
	}
	if got := send(t, app, request("GET", "/busy", "")).Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
}

// What is refused to be rid of load would otherwise come again at once, by the
// proxies on the way, which repeat what has failed elsewhere. Nor is it logged.
func TestWhatIsRefusedCostsLittle(t *testing.T) {
	var log bytes.Buffer
	app := web.New(web.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	kinds := map[string]fault.Kind{"/overloaded": fault.Overloaded, "/open": fault.CircuitOpen, "/away": fault.Unavailable}
	for path, kind := range kinds {
		app.Get(path, func(*fiber.Ctx) error { return fault.New(kind, "not now") })
	}
	for path, kind := range kinds {
		got := send(t, app, request("GET", path, "")).Header.Get("X-Envoy-Ratelimited")
		if want := map[bool]string{true: "true"}[kind != fault.Unavailable]; got != want {
			t.Errorf("%s says %q, want %q", kind, got, want)
		}
	}
	if lines := strings.Count(log.String(), "msg=request"); lines != 1 || !strings.Contains(log.String(), "/away") {
		t.Errorf("logged:\n%s", log.String())
	}
}

func TestProblemsCarryFieldsAndDetails(t *testing.T) {
	app := web.New(web.Options{})
	app.Get("/", func(*fiber.Ctx) error {
		f := fault.Invalid(fault.Field{Field: "title", Code: "required", Detail: "missing"})
		f.Details = map[string]any{"things": []int{1}, "status": "cancelled"}
		return fault.Wrap("check", f)
	})
	problem := send(t, app, request("GET", "/", "")).problem(t)
	text, _ := json.Marshal(problem["errors"])
	if string(text) != `[{"code":"required","detail":"missing","field":"title"}]` {
		t.Errorf("errors are %s", text)
	}
	if problem["things"] == nil || problem["status"] != 422.0 {
		t.Errorf("got %v", problem)
	}
}

func TestTheCauseOfAnInternalErrorIsLogged(t *testing.T) {
	var log bytes.Buffer
	app := web.New(web.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	app.Get("/", func(*fiber.Ctx) error { return errors.New("disk on fire") })
	send(t, app, request("GET", "/", ""))
	if !strings.Contains(log.String(), "disk on fire") {
		t.Errorf("log is %q", log.String())
	}
}

func TestRequestIDsAreKeptWhenSane(t *testing.T) {
	app := web.New(web.Options{})
	app.Get("/", func(c *fiber.Ctx) error { return web.JSON(c, 200, web.RequestID(web.Context(c))) })
	for given, kept := range map[string]bool{
		"a.B_c-1": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, `"><`: false, "": false,
	} {
		got := send(t, app, request("GET", "/", "", "X-Request-Id", given))
		id := got.Header.Get("X-Request-Id")
		if (id == given) != kept || id == "" || got.text != `"`+id+`"` {
			t.Errorf("%q became %q, the context has %s", given, id, got.text)
		}
	}
}

func TestDeadlineIsTheShorterOne(t *testing.T) {
	app := web.New(web.Options{Deadline: time.Minute})
	app.Get("/", func(c *fiber.Ctx) error {
		deadline, _ := web.Context(c).Deadline()
		return web.JSON(c, 200, time.Until(deadline) > 30*time.Second)
	})
	for header, want := range map[string]string{"": "true", "500": "false", "900000": "true", "-1": "true", "x": "true"} {
		if got := send(t, app, request("GET", "/", "", web.HeaderTimeout, header)).text; got != want {
			t.Errorf("%q: got %s", header, got)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	app := web.New(web.Options{BodyLimit: 1000})
	app.Post("/", lengthOf)
	for size, status := range map[int]int{0: 200, 1000: 200, 1001: 413, 10 << 20: 413} {
		for _, chunked := range []bool{false, true} {
			r := request("POST", "/", strings.Repeat("x", size))
			if chunked {
				r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
			}
			if got := send(t, app, r); got.StatusCode != status {
				t.Errorf("%d bytes, chunked %v: got %d", size, chunked, got.StatusCode)
			}
		}
	}
}

func TestProbes(t *testing.T) {
	var ready atomic.Bool
	var away atomic.Bool
	registry := prometheus.NewRegistry()
	app := web.New(web.Options{
		Service: "things", Version: "1.2", Instance: "a1", Registry: registry, Ready: ready.Load,
		Health: func(context.Context) map[string]error {
			if away.Load() {
				return map[string]error{"maindb": errors.New("10.0.0.1 refused")}
			}
			return map[string]error{"maindb": nil}
		},
	})
	app.Get("/things/:id", func(c *fiber.Ctx) error { return web.JSON(c, 200, c.Params("id")) })

	if got := send(t, app, request("GET", "/ready", "")); got.StatusCode != 503 || !got.Close {
		t.Errorf("not ready: %d, closing %v", got.StatusCode, got.Close)
	}
	ready.Store(true)
	if got := send(t, app, request("GET", "/ready", "")); got.StatusCode != 200 {
		t.Errorf("ready: %d", got.StatusCode)
	}
	want := `{"status":"ok","service":"things","version":"1.2","instance":"a1","dependencies":{"maindb":"ok"}}`
	if got := send(t, app, request("GET", "/health", "")); got.StatusCode != 200 || got.text != want {
		t.Errorf("health: %d %s", got.StatusCode, got.text)
	}
	away.Store(true)
	got := send(t, app, request("GET", "/health", ""))
	if got.StatusCode != 200 || !strings.Contains(got.text, `"degraded"`) || strings.Contains(got.text, "10.0.0.1") {
		t.Errorf("degraded: %d %s", got.StatusCode, got.text)
	}

	send(t, app, request("GET", "/things/7", ""))
	send(t, app, request("GET", "/no/such/path", ""))
	metrics := send(t, app, request("GET", "/metrics", "")).text
	for _, line := range []string{
		`http_requests_total{method="GET",route="/things/:id",status="200"} 1`,
		`http_requests_total{method="GET",route="unmatched",status="404"} 1`,
		`http_request_duration_seconds_count{method="GET",route="/things/:id"} 1`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("%s is missing in\n%s", line, metrics)
		}
	}
}

// TestALargeBodyIsAnsweredNotReset uses a real connection: answering with bytes
// left unread would reset it, and the client would see no answer at all.
func TestALargeBodyIsAnsweredNotReset(t *testing.T) {
	app := web.New(web.Options{})
	app.Post("/", lengthOf)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	client := &http.Client{Transport: &http.Transport{}}
	for i := range 20 {
		size, want := 10<<20, http.StatusRequestEntityTooLarge
		if i%2 == 1 { // on the same connection
			size, want = 1000, http.StatusOK
		}
		response, err := client.Post("http://"+listener.Addr().String(), web.JSONType, strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%d bytes: got %d", size, response.StatusCode)
		}
	}
	client.CloseIdleConnections()
	if err := app.Shutdown(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A head that does not fit into the buffer is refused as what it is.
func TestHeadsHaveALimit(t *testing.T) {
	app := web.New(web.Options{})
	app.Get("/", func(c *fiber.Ctx) error { return web.JSON(c, 200, "") })
	listener := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	client := &http.Client{Transport: &http.Transport{
		WriteBufferSize: 64 << 10, // the head is sent at once, before the answer closes the connection
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return listener.Dial() },
	}}
	for size, status := range map[int]int{15 << 10: 200, 17 << 10: 431, 48 << 10: 431} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Long", strings.Repeat("x", size))
		response, err := client.Do(r)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != status {
			t.Errorf("%d bytes: got %d, %v", size, response.StatusCode, err)
		}
		if got := (answer{response, string(text)}); status == 431 && got.problem(t)["code"] != "head_too_large" {
			t.Errorf("%d bytes: got %s", size, text)
		}
	}
	client.CloseIdleConnections()
	if err := app.Shutdown(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestAConnectionWithoutARequestIsClosedWithoutAnAnswer: what a server sends before a request
// would be taken for the answer to a request that is just on its way.
func TestAConnectionWithoutARequestIsClosedWithoutAnAnswer(t *testing.T) {
	app := web.New(web.Options{})
	app.Server().ReadTimeout = 50 * time.Millisecond
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	for _, sent := range []string{"", "GET /rea"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		var network net.Error
		if len(got) > 0 || (errors.As(err, &network) && network.Timeout()) {
			t.Errorf("after %q came %q, %v", sent, got, err)
		}
		_ = conn.Close()
	}
	if err := app.Shutdown(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
