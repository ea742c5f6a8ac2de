package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bookstore/services/platform/config"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait/waittest"
)

// guard is a gateway without its front, whose destinations are one handler.
type guard struct {
	*Gateway
	base *url.URL
}

func guarded(t *testing.T, settings Resilience, upstream http.HandlerFunc) *guard {
	t.Helper()
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	// On a busy machine no trial is to come between two steps of a test.
	settings.CircuitOpenFirst = cmp.Or(settings.CircuitOpenFirst, settings.CircuitOpenFor, 10*time.Second)
	g := &Gateway{
		options:   Options{Log: log, Upstreams: map[Upstream]*url.URL{Books: base, Orders: base, Coordinator: base}},
		transport: transport(), metrics: newMetrics(settings, prometheus.NewRegistry(), log),
	}
	// On a kept connection that was closed, the transport resends by itself;
	// these tests count the calls.
	g.transport.DisableKeepAlives = true
	t.Cleanup(g.transport.CloseIdleConnections)
	return &guard{g, base}
}

// call forwards a call of the table, with an Idempotency-Key.
func (g *guard) call(ctx context.Context, method, pattern string) (*upstreamAnswer, error) {
	for _, r := range Routes() {
		if r.Method == method && r.Pattern == pattern {
			return g.forward(ctx, r, upstreamRequest{
				method: method, url: g.base.JoinPath(strings.ReplaceAll(pattern, ":", "")), header: http.Header{"Idempotency-Key": {"k"}},
			})
		}
	}
	return nil, errors.New("there is no " + method + " " + pattern)
}

func (g *guard) read(ctx context.Context) error {
	_, err := g.call(ctx, http.MethodGet, "/books/:id")
	return err
}

// says answers with a status, a problem's code if there is one, and the number
// of times that the sidecar sent the call.
func says(status int, code, sent string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Envoy-Attempt-Count", sent)
		if code == "" {
			http.Error(w, "no healthy upstream", status)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code":"` + code + `"}`))
	}
}

func cutOff(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestWhatOpensACircuit(t *testing.T) {
	cases := []struct {
		name            string
		method, pattern string
		upstream        http.HandlerFunc
		time            time.Duration // that the caller gives; 0 is all there is
		state           string
	}{
		{"nobody answers", "GET", "/books/:id", cutOff, 0, "open"},
		{"a proxy finds nobody", "GET", "/books/:id", says(503, "", "1"), 0, "open"},
		{"a bad gateway", "GET", "/books/:id", says(502, "", ""), 0, "open"},
		{"a time-out of the mesh", "GET", "/books/:id", says(504, "", "1"), 0, "open"},
		{"a service without its database", "GET", "/books/:id", says(503, "unavailable", "3"), 0, "open"},
		{"a service that does not know what it did", "POST", "/books", says(503, "outcome_unknown", "3"), 0, "open"},
		{"a service that takes too long", "GET", "/books/:id", says(504, "deadline_exceeded", "3"), 0, "open"},
		{"nobody but the sidecar tries again", "PUT", "/books/:id", says(503, "", "2"), 0, "open"},
		{"nobody tries again", "PUT", "/books/:id", cutOff, 0, "closed"},
		{"a service that refuses what is too much", "GET", "/books/:id", says(503, "overloaded", "3"), 0, "closed"},
		{"a service that fails", "GET", "/books/:id", says(500, "internal", "3"), 0, "closed"},
		{"a refusal", "POST", "/books", says(409, "out_of_stock", "3"), 0, "closed"},
		{"a time-out of one who cannot wait", "GET", "/books/:id", says(504, "deadline_exceeded", "3"), time.Second, "closed"},
		{"a proxy finds nobody for one who cannot wait", "GET", "/books/:id", says(503, "", "3"), time.Second, "open"},
		{"a service that hangs for one who cannot wait", "GET", "/books/:id", hangs, 20 * time.Millisecond, "closed"},
		{"a coordinator that nobody finds", "POST", "/orders", says(503, "", "3"), 0, "open"},
		{"a coordinator without one of the services", "POST", "/orders", says(503, "unavailable", "3"), 0, "closed"},
		{"a coordinator that waited for one of the services", "POST", "/orders", says(504, "deadline_exceeded", "3"), 0, "closed"},
		{"a stream that nobody is there for", "GET", "/checkouts/:id/events", says(503, "", "1"), 0, "open"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := guarded(t, Resilience{}, c.upstream)
			for range 3 {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if c.time > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.time)
				}
				if _, err := g.call(ctx, c.method, c.pattern); fault.KindOf(err) == fault.CircuitOpen && c.state == "closed" {
					t.Error(err)
				}
				cancel()
			}
			for name, state := range g.Circuits() {
				of := Books
				if strings.Contains(c.pattern, "orders") || strings.Contains(c.pattern, "checkouts") {
					of = Coordinator
				}
				if want := map[bool]string{true: c.state, false: "closed"}[name == string(of)]; state != want {
					t.Errorf("the circuit of %s is %s, want %s", name, state, want)
				}
			}
		})
	}
}

// All that one client may have in flight reaches the coordinator, which has
// queues for it, also while more comes than the machine can carry.
func TestACrowdOfBuyersIsLetThrough(t *testing.T) {
	const crowd = 64
	for _, late := range []bool{false, true} {
		ctx, end := context.WithTimeout(t.Context(), 5*time.Second)
		if late {
			ctx = asLate(ctx)
		}
		var arrived atomic.Int64
		answer := make(chan struct{})
		g := guarded(t, Resilience{}, func(_ http.ResponseWriter, r *http.Request) {
			if arrived.Add(1) == crowd {
				close(answer)
			}
			select {
			case <-answer:
			case <-r.Context().Done():
			}
		})
		g.metrics.backlog.standing.Store(late)
		var buying sync.WaitGroup
		for range crowd {
			buying.Go(func() {
				if _, err := g.call(ctx, http.MethodPost, "/orders"); err != nil {
					t.Errorf("late: %t: %v", late, err)
				}
			})
		}
		buying.Wait()
		end()
	}
}

func TestACallerWhoGoesAwayCountsForNothing(t *testing.T) {
	var calls atomic.Int64
	arrived := make(chan struct{})
	g := guarded(t, Resilience{CircuitThreshold: 1}, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%2 == 1 {
			cutOff(w, r)
			return
		}
		arrived <- struct{}{}
		hangs(w, r)
	})
	for range 3 {
		ctx, leave := context.WithCancel(t.Context())
		var reading sync.WaitGroup
		reading.Go(func() {
			if err := g.read(ctx); err == nil || fault.KindOf(err) == fault.CircuitOpen {
				t.Errorf("got %v", err)
			}
		})
		<-arrived
		leave()
		reading.Wait()
	}
	if state := g.Circuits()["books"]; state != "closed" {
		t.Errorf("the circuit is %s", state)
	}
}

func TestASuccessSetsTheCountBack(t *testing.T) {
	var calls atomic.Int64
	g := guarded(t, Resilience{ResendLeast: 100}, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%6 != 0 { // of three reads the last is rerouted, and answered
			cutOff(w, r)
		}
	})
	for i := range 30 {
		if err := g.read(t.Context()); (err == nil) != (i%3 == 2) || fault.KindOf(err) == fault.CircuitOpen {
			t.Fatalf("read %d: %v", i, err)
		}
	}
}

func TestACircuitOpensAndClosesByItself(t *testing.T) {
	var calls atomic.Int64
	var well atomic.Bool
	g := guarded(t, Resilience{CircuitOpenFor: 500 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/orders") {
			return
		}
		calls.Add(1)
		if !well.Load() {
			says(503, "", "1")(w, r)
		}
	})
	for range 3 {
		if err := g.read(t.Context()); fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("while it is closed: %v", err)
		}
	}
	sent := calls.Load()
	refused := g.read(t.Context())
	if f := fault.As(refused); f == nil || f.Kind != fault.CircuitOpen || f.RetryAfter < time.Second || calls.Load() != sent {
		t.Fatalf("while it is open: %v, after %d calls more", refused, calls.Load()-sent)
	}
	if _, err := g.call(t.Context(), http.MethodGet, "/orders/:id"); err != nil {
		t.Errorf("another destination: %v", err)
	}
	// A trial that fails is answered like all other calls.
	waittest.Eventually(t, "a trial fails", func() bool {
		err := g.read(t.Context())
		return fault.KindOf(err) == fault.CircuitOpen && calls.Load() > sent
	})
	if err := g.read(t.Context()); fault.KindOf(err) != fault.CircuitOpen {
		t.Errorf("after a trial that failed: %v", err)
	}
	well.Store(true)
	waittest.Eventually(t, "a trial is answered", func() bool { return g.read(t.Context()) == nil })
	if state, opened := g.Circuits()["books"], testutil.ToFloat64(g.metrics.opened.WithLabelValues("books")); state != "closed" || opened != 2 {
		t.Errorf("in the end it is %s, and has opened %v times", state, opened)
	}
}

// A service whose database has no leader answers so at once. Its circuit has a trial within a second, since the new
// leader comes earlier than the trial of an ordinary opening.
func TestACircuitOfAServiceWithoutItsDatabaseOpensBriefly(t *testing.T) {
	for _, c := range []struct {
		name     string
		upstream http.HandlerFunc
		soon     bool
	}{
		{"it says so", says(503, "unavailable", "3"), true},
		{"it does not know what it did", says(503, "outcome_unknown", "3"), true},
		{"it takes too long", says(504, "deadline_exceeded", "3"), false},
		{"nobody is there", says(503, "", "3"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := guarded(t, Resilience{}, c.upstream)
			var f *fault.Error
			for range 3 { // two reroutes each: a service's own words are passed on as they are
				_, err := g.call(t.Context(), http.MethodPost, "/books")
				f = fault.As(err)
			}
			if f == nil || f.Kind != fault.CircuitOpen || (f.RetryAfter <= trialRetryAfter) != c.soon {
				t.Errorf("then: %+v", f)
			}
		})
	}
}

func TestReroutesAreCountedWhoeverMadeThem(t *testing.T) {
	g := guarded(t, Resilience{}, says(503, "", "2"))
	if err := g.read(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Fatal(err)
	}
	for by, want := range map[string]float64{byGateway: 1, bySidecar: 2} {
		if got := testutil.ToFloat64(g.metrics.reroutes.WithLabelValues("books", by)); got != want {
			t.Errorf("%v reroutes by the %s, want %v", got, by, want)
		}
	}
	if state := g.Circuits()["books"]; state != "open" {
		t.Errorf("after 3 reroutes of one call that failed the circuit is %s", state)
	}
}

// mesh is a sidecar before two instances, of which one is dead: it alternates
// between them, sends a call twice at most, and gives an instance that failed
// three times in a row no calls until it has had a while to recover.
type mesh struct {
	mu       sync.Mutex
	calls    int
	failures int
	ejected  int // for so many calls more
}

// dead picks an instance, and says whether it is the dead one.
func (m *mesh) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.ejected > 0 {
		m.ejected--
		return false
	}
	return m.calls%2 == 0
}

func (m *mesh) fail() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failures++; m.failures%3 == 0 {
		m.ejected = 200
	}
}

func (m *mesh) serve(w http.ResponseWriter, r *http.Request) {
	for sent := 1; sent <= 2; sent++ {
		if !m.dead() {
			w.Header().Set("X-Envoy-Attempt-Count", strconv.Itoa(sent))
			return
		}
		m.fail()
	}
	says(503, "", "2")(w, r)
}

func TestOneDeadInstanceOfTwoNeverOpensACircuit(t *testing.T) {
	g := guarded(t, Resilience{}, (&mesh{}).serve)
	var reading sync.WaitGroup
	for range 32 {
		reading.Go(func() {
			for range 100 {
				if err := g.read(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	reading.Wait()
	if n := testutil.ToFloat64(g.metrics.reroutes.WithLabelValues("books", bySidecar)); n < 3 {
		t.Errorf("%v reroutes: nothing was to be survived", n)
	}
	if n := testutil.ToFloat64(g.metrics.opened.WithLabelValues("books")); n != 0 {
		t.Errorf("the circuit opened %v times", n)
	}
}

func TestResendsHaveABudget(t *testing.T) {
	var calls atomic.Int64
	g := guarded(t, Resilience{CircuitThreshold: 1000, ResendLeast: 5}, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		cutOff(w, r)
	})
	for range 20 {
		if err := g.read(t.Context()); fault.KindOf(err) != fault.Unavailable {
			t.Error(err)
		}
	}
	if n := calls.Load(); n != 25 {
		t.Errorf("20 calls were sent %d times", n)
	}
	if n := testutil.ToFloat64(g.metrics.resendsRefused.WithLabelValues("books")); n != 15 {
		t.Errorf("%v resends were refused", n)
	}
}

func TestADestinationThatHangsDoesNotTakeTheOthersAlong(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 2)
	g := guarded(t, Resilience{InFlightLeast: 2, InFlightFirst: 2, InFlightMost: 2, InFlightWait: 10 * time.Millisecond},
		func(_ http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/books") {
				arrived <- struct{}{}
				<-release
			}
		})
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			if err := g.read(t.Context()); err != nil {
				t.Errorf("one of two: %v", err)
			}
		})
		<-arrived
	}
	for range 8 {
		reading.Go(func() {
			if f := fault.As(g.read(t.Context())); f == nil || f.Kind != fault.Overloaded || f.RetryAfter != time.Second {
				t.Errorf("one too many: %v", f)
			}
		})
	}
	waittest.Eventually(t, "all but two are refused", func() bool { return testutil.ToFloat64(g.metrics.shed.WithLabelValues("books")) == 8 })
	if _, err := g.call(t.Context(), http.MethodGet, "/orders/:id"); err != nil {
		t.Errorf("another destination: %v", err)
	}
	close(release)
	reading.Wait()
	if err := g.read(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if n := g.metrics.destinations[Books].limiter.Inflight(); n != 0 {
		t.Errorf("%d permits are never returned", n)
	}
}

func TestAStreamHoldsAPermitOnlyUntilItBegins(t *testing.T) {
	g := guarded(t, Resilience{InFlightLeast: 1, InFlightFirst: 1, InFlightMost: 1}, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			hangs(w, r)
		}
	})
	for range 3 {
		answer, err := g.call(t.Context(), http.MethodGet, "/checkouts/:id/events")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.stream.Close() })
	}
	if _, err := g.call(t.Context(), http.MethodGet, "/checkouts/:id"); err != nil {
		t.Errorf("beside streams: %v", err)
	}
}

func TestHealthChecksCountForNothing(t *testing.T) {
	g := guarded(t, Resilience{}, says(503, "", "3"))
	for range 5 {
		if g.Health(t.Context())["books"] == nil {
			t.Error("found well")
		}
	}
	for name, state := range g.Circuits() {
		if state != "closed" {
			t.Errorf("the circuit of %s is %s", name, state)
		}
	}
}

func TestDefaultsAreThoseOfTheEnvironment(t *testing.T) {
	none := func(string) string { return "" }
	read, err := config.Load[Resilience](none)
	if err != nil {
		t.Fatal(err)
	}
	if made := (Resilience{}).withDefaults(); made != read {
		t.Errorf("without an environment: %+v, without settings: %+v", read, made)
	}
	problems := Resilience{InFlightLeast: 3, InFlightFirst: 2, InFlightMost: 1, ResendShare: 2}.Validate()
	for _, name := range []string{
		"CIRCUIT_THRESHOLD", "CIRCUIT_OPEN_FIRST", "RESEND_SHARE", "RESEND_LEAST", "UPSTREAM_IN_FLIGHT_FIRST", "UPSTREAM_IN_FLIGHT_WAIT",
	} {
		if problems == nil || !strings.Contains(problems.Error(), name) {
			t.Errorf("%s is not named in %v", name, problems)
		}
	}
}
