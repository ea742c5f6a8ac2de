package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.uber.org/goleak"

	"bookstore/services/platform/lifecycle"
	"bookstore/services/platform/wait/waittest"
	"bookstore/services/platform/web"
	"bookstore/services/platform/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, webtest.Leaks()...) }

// discard is a log that nobody reads.
var discard = slog.New(slog.DiscardHandler)

// service is one run of Serve that a test can inspect and end.
type service struct {
	base string
	gate *lifecycle.Gate
	stop context.CancelFunc
	done chan error
}

func serve(t *testing.T, app *fiber.App, gate *lifecycle.Gate, o lifecycle.Options) *service {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &service{gate: gate, stop: stop, done: make(chan error, 1)}
	bound := make(chan net.Addr, 1)
	o.App, o.Gate, o.Addr, o.ShutdownTimeout = app, gate, "127.0.0.1:0", 5*time.Second
	o.Listening = func(a net.Addr) { bound <- a }
	go func() { s.done <- lifecycle.Serve(ctx, o) }()
	t.Cleanup(stop)
	s.base = "http://" + (<-bound).String()
	return s
}

// status makes a request on a connection of its own; 0 is no answer.
func (s *service) status(path string) int {
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(s.base + path)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// until polls for a status.
func (s *service) until(t *testing.T, path string, want int) {
	t.Helper()
	waittest.Eventually(t, fmt.Sprintf("%s answers %d", path, want), func() bool { return s.status(path) == want })
}

func TestReadinessFollowsStartupAndDrain(t *testing.T) {
	gate := &lifecycle.Gate{}
	app := web.New(web.Options{Ready: gate.Ready})
	database := make(chan struct{})
	s := serve(t, app, gate, lifecycle.Options{
		DrainDelay: 3 * time.Second,
		Startup: func(context.Context) error {
			select {
			case <-database:
				return nil
			default:
				return errors.New("no database yet")
			}
		},
	})
	s.until(t, "/health", http.StatusOK)
	if got := s.status("/ready"); got != http.StatusServiceUnavailable {
		t.Errorf("ready before startup: %d", got)
	}
	close(database)
	s.until(t, "/ready", http.StatusOK)

	s.stop()
	s.until(t, "/ready", http.StatusServiceUnavailable)
	if got := s.status("/health"); got != http.StatusOK {
		t.Errorf("not served while draining: %d", got)
	}
	if err := <-s.done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if got := s.status("/health"); got != 0 {
		t.Errorf("still answers after the stop: %d", got)
	}
}

func TestRequestsInFlightFinish(t *testing.T) {
	gate := &lifecycle.Gate{}
	app := web.New(web.Options{Ready: gate.Ready})
	entered, release := make(chan struct{}), make(chan struct{})
	app.Get("/slow", func(c *fiber.Ctx) error {
		close(entered)
		<-release
		return c.SendStatus(http.StatusNoContent)
	})
	s := serve(t, app, gate, lifecycle.Options{})
	s.until(t, "/ready", http.StatusOK)
	answered := make(chan int, 1)
	go func() { answered <- s.status("/slow") }()
	<-entered
	s.stop()
	for gate.Ready() {
		select {
		case err := <-s.done:
			t.Fatalf("stopped with a request in flight: %v", err)
		default:
		}
	}
	close(release)
	if got := <-answered; got != http.StatusNoContent {
		t.Errorf("the request in flight got %d", got)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

func TestPartsStopInReverse(t *testing.T) {
	gate := &lifecycle.Gate{}
	var mu sync.Mutex
	var events []string
	note := func(event string) func(context.Context) error {
		return func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, event)
			return nil
		}
	}
	part := func(name string) lifecycle.Part {
		return lifecycle.Part{Name: name, Start: note("start " + name), Stop: note("stop " + name)}
	}
	s := serve(t, web.New(web.Options{Ready: gate.Ready}), gate, lifecycle.Options{Parts: []lifecycle.Part{part("a"), part("b")}})
	s.until(t, "/ready", http.StatusOK)
	s.stop()
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	if want := []string{"start a", "start b", "stop b", "stop a"}; !slices.Equal(events, want) {
		t.Errorf("got %v, want %v", events, want)
	}
}

func TestAPartThatCannotStartEndsTheRun(t *testing.T) {
	gate := &lifecycle.Gate{}
	s := serve(t, web.New(web.Options{}), gate, lifecycle.Options{Parts: []lifecycle.Part{{
		Name: "broken", Start: func(context.Context) error { return errors.New("no") },
	}}})
	if err := <-s.done; err == nil || gate.Ready() {
		t.Errorf("got %v, ready %v", err, gate.Ready())
	}
}

func TestAPortInUseIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	err = lifecycle.Serve(context.Background(), lifecycle.Options{
		App: web.New(web.Options{}), Gate: &lifecycle.Gate{}, Addr: taken.Addr().String(),
	})
	if err == nil {
		t.Error("no error")
	}
}

func TestEveryRepeatsPastFailuresUntilStopped(t *testing.T) {
	ran := make(chan struct{})
	part := lifecycle.Every("tick", time.Millisecond, discard, func(context.Context) error {
		ran <- struct{}{}
		return errors.New("again")
	})
	if err := part.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-ran
	<-ran
	stopped := make(chan error, 1)
	go func() { stopped <- part.Stop(context.Background()) }()
	for {
		select {
		case <-ran:
		case err := <-stopped:
			if err != nil {
				t.Error(err)
			}
			return
		}
	}
}

func TestProbesHaveAListenerOfTheirOwn(t *testing.T) {
	gate := &lifecycle.Gate{}
	app, probes := web.NewApart(web.Options{Ready: gate.Ready})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	_ = free.Close()
	s := serve(t, app, gate, lifecycle.Options{Probes: probes, ProbeAddr: at, DrainDelay: 300 * time.Millisecond})
	apart := &service{base: "http://" + at}
	apart.until(t, "/ready", http.StatusOK)
	for _, path := range []string{"/ready", "/health", "/metrics"} {
		if got := s.status(path); got != http.StatusNotFound {
			t.Errorf("%s beside the rest: %d", path, got)
		}
		if got := apart.status(path); got != http.StatusOK {
			t.Errorf("%s apart: %d", path, got)
		}
	}
	s.stop()
	apart.until(t, "/ready", http.StatusServiceUnavailable)
	if err := <-s.done; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if got := apart.status("/health"); got != 0 {
		t.Errorf("still answers after the stop: %d", got)
	}
}
