package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/web"
)

// brief are limits that a test can wait for.
var brief = web.Streams{Limit: 2, Heartbeat: 20 * time.Millisecond, PieceTimeout: 200 * time.Millisecond}

// listen serves app on a port of its own; stop shuts it down as a service does.
func listen(t *testing.T, app *fiber.App) (base string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Listener(listener) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := app.ShutdownWithContext(ctx)
		<-ended
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return "http://" + listener.Addr().String(), stop
}

// viewer is a client of a stream; leave closes its side.
type viewer struct {
	*bufio.Scanner
	status int
	header http.Header
	body   io.Reader
	leave  func()
}

func watch(t *testing.T, url string) viewer {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return viewer{bufio.NewScanner(response.Body), response.StatusCode, response.Header, response.Body, leave}
}

// within fails the test when done does not come.
func within[T any](t *testing.T, what string, done <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
	}
	return v
}

// gauge reads a metric that has no labels.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestEventsAreSentAtOnceAndInTheirForm(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	proceed := make(chan struct{})
	app.Get("/events", func(c *fiber.Ctx) error {
		return web.Events(c, func(_ context.Context, send func(web.Event) error) error {
			if err := send(web.Event{ID: 1, Name: "state", Data: map[string]any{"text": "a\nb <c>"}}); err != nil {
				return err
			}
			<-proceed
			return send(web.Event{ID: 2, Name: "end", Data: nil})
		})
	})
	base, _ := listen(t, app)
	v := watch(t, base+"/events")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := v.header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if v.status != http.StatusOK || v.header.Get("X-Request-Id") == "" {
		t.Errorf("began with %d %v", v.status, v.header)
	}
	for _, want := range []string{"id: 1", "event: state", `data: {"text":"a\nb <c>"}`, ""} {
		if v.Scan(); v.Text() != want {
			t.Errorf("got %q, want %q", v.Text(), want)
		}
	}
	close(proceed)
	for _, want := range []string{"id: 2", "event: end", "data: null", ""} {
		if v.Scan(); v.Text() != want {
			t.Errorf("got %q, want %q", v.Text(), want)
		}
	}
	if v.Scan() || v.Err() != nil {
		t.Errorf("after the end: %q, %v", v.Text(), v.Err())
	}
}

// A stream has neither the request's deadline nor the server's time to write
// an answer in, and says that it lives.
func TestAStreamOutlivesEveryTimeout(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{Streams: brief, Deadline: 30 * time.Millisecond})
	app.Server().WriteTimeout = 100 * time.Millisecond
	app.Server().ReadTimeout = 100 * time.Millisecond
	app.Get("/events", func(c *fiber.Ctx) error {
		return web.Events(c, func(ctx context.Context, send func(web.Event) error) error {
			if deadline, _ := ctx.Deadline(); time.Until(deadline) < time.Minute || web.RequestID(ctx) != "mine" {
				return errors.New("not the context of a stream")
			}
			select {
			case <-time.After(500 * time.Millisecond):
				return send(web.Event{ID: 1, Name: "end"})
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	base, _ := listen(t, app)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/events", http.NoBody)
	r.Header.Set("X-Request-Id", "mine")
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if beats := strings.Count(string(text), ":\n\n"); err != nil || beats < 10 || !strings.HasSuffix(string(text), "id: 1\nevent: end\ndata: null\n\n") {
		t.Errorf("%d heartbeats in %q, %v", beats, text, err)
	}
}

func TestAStreamEndsWithItsClient(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	app := web.New(web.Options{Registry: registry}) // a heartbeat would fail after ten seconds
	entered, ended := make(chan struct{}), make(chan struct{})
	app.Get("/events", func(c *fiber.Ctx) error {
		return web.Events(c, func(ctx context.Context, _ func(web.Event) error) error {
			close(entered)
			<-ctx.Done()
			close(ended)
			return ctx.Err()
		})
	})
	base, stop := listen(t, app)
	v := watch(t, base+"/events")
	within(t, "the stream begins", entered)
	if open := gauge(t, registry, "http_streams_open"); open != 1 {
		t.Errorf("%v streams are open", open)
	}
	v.leave()
	start := time.Now()
	within(t, "the work ends", ended)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the client was missed after %v", took)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if open := gauge(t, registry, "http_streams_open"); open != 0 {
		t.Errorf("%v streams are open", open)
	}
}

func TestAStoppingServiceIsNotHeldUpByStreams(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	app.Get("/events", func(c *fiber.Ctx) error {
		return web.Events(c, func(ctx context.Context, _ func(web.Event) error) error {
			<-ctx.Done()
			return ctx.Err()
		})
	})
	base, stop := listen(t, app)
	v := watch(t, base+"/events")
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("stopped after %v", took)
	}
	if v.Scan() || v.Err() != nil {
		t.Errorf("the client saw %q, %v, and no end", v.Text(), v.Err())
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{Streams: brief})
	app.Get("/events", func(c *fiber.Ctx) error {
		return web.Events(c, func(ctx context.Context, _ func(web.Event) error) error {
			<-ctx.Done()
			return nil
		})
	})
	base, _ := listen(t, app)
	first := watch(t, base+"/events")
	watch(t, base+"/events")
	third := watch(t, base+"/events")
	text, _ := io.ReadAll(third.body)
	if third.status != http.StatusServiceUnavailable || !strings.Contains(string(text), `"overloaded"`) || third.header.Get("Retry-After") != "1" {
		t.Errorf("the third was answered %d %s", third.status, text)
	}
	first.leave()
	free, tick := make(chan struct{}), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	go func() {
		defer close(free)
		for range tick.C {
			response, err := http.Get(base + "/events")
			if err != nil {
				return
			}
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
	}()
	within(t, "the place of one that left is free", free)
}

func TestAClientThatTakesNothingIsLeft(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{Streams: brief})
	ended := make(chan error, 1)
	app.Get("/flood", func(c *fiber.Ctx) error {
		return web.Stream(c, func(_ context.Context, w io.Writer) error {
			for piece := make([]byte, 1<<20); ; {
				if _, err := w.Write(piece); err != nil {
					ended <- err
					return err
				}
			}
		})
	})
	base, _ := listen(t, app)
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /flood HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := within(t, "the stream is given up", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestWhatBreaksInAStreamStaysInTheLog(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	app := web.New(web.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	calls := atomic.Int64{}
	app.Get("/events", func(c *fiber.Ctx) error {
		return web.Events(c, func(_ context.Context, send func(web.Event) error) error {
			calls.Add(1)
			if err := send(web.Event{ID: 1, Name: "state"}); err != nil {
				return err
			}
			panic("hunter2")
		})
	})
	a := send(t, app, request(http.MethodGet, "/events", ""))
	if a.StatusCode != http.StatusOK || !strings.HasSuffix(a.text, "data: null\n\n") || strings.Contains(a.text, "hunter2") {
		t.Errorf("the client saw %d %q", a.StatusCode, a.text)
	}
	if calls.Load() != 1 || !strings.Contains(log.String(), "hunter2") {
		t.Errorf("%d calls, the log says %q", calls.Load(), log.String())
	}
}

func TestWhereAClientLeftOff(t *testing.T) {
	t.Parallel()
	app := web.New(web.Options{})
	app.Get("/events", web.AcceptEvents, func(c *fiber.Ctx) error {
		last, err := web.LastEventID(c)
		if err != nil {
			return err
		}
		return web.JSON(c, http.StatusOK, last)
	})
	for header, want := range map[string]string{"": "0", "0": "0", "7": "7", "9223372036854775807": "9223372036854775807"} {
		if a := send(t, app, request(http.MethodGet, "/events", "", "Last-Event-ID", header)); a.text != want {
			t.Errorf("%q was read as %s", header, a.text)
		}
	}
	for _, header := range []string{"-1", "+1", "x", "1.5", "9223372036854775808", "1 2", "0x1", "1_0"} {
		a := send(t, app, request(http.MethodGet, "/events", "", "Last-Event-ID", header))
		if p := a.problem(t); a.StatusCode != http.StatusBadRequest || p["code"] != "malformed_request" {
			t.Errorf("%q: %d %v", header, a.StatusCode, p)
		}
	}
	for accept, want := range map[string]int{"": 200, "*/*": 200, "text/event-stream": 200, "text/*": 200, "application/json": 406} {
		if a := send(t, app, request(http.MethodGet, "/events", "", "Accept", accept)); a.StatusCode != want {
			t.Errorf("Accept %q: %d, want %d", accept, a.StatusCode, want)
		}
	}
}

// A stream ends after its life, in good order; the client comes again with the
// last event that it has seen.
func TestAStreamHasALongestLife(t *testing.T) {
	t.Parallel()
	short := brief
	short.Life = 200 * time.Millisecond
	registry := prometheus.NewRegistry()
	app := web.New(web.Options{Streams: short, Registry: registry})
	app.Get("/events", func(c *fiber.Ctx) error {
		last, err := web.LastEventID(c)
		if err != nil {
			return err
		}
		return web.Events(c, func(ctx context.Context, send func(web.Event) error) error {
			if err := send(web.Event{ID: last + 1, Name: "next"}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
	})
	base, _ := listen(t, app)
	for _, last := range []string{"", "1"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", last)
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		want := "id: 1\nevent: next\n"
		if last == "1" {
			want = "id: 2\nevent: next\n"
		}
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("after %q came %q, %v", last, text, err)
		}
	}
}
