package gateway_test

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/gateway"
)

// flaky fails the first n calls with fail and echoes the rest.
func flaky(n int64, fail http.HandlerFunc) http.HandlerFunc {
	var calls atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= n {
			fail(w, r)
			return
		}
		echo(w, r)
	}
}

func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func plainly(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no healthy upstream", status) }
}

func problem(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code":"` + code + `"}`))
	}
}

// tried is a sidecar's answer after so many attempts.
func tried(times int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Envoy-Attempt-Count", strconv.Itoa(times))
		plainly(http.StatusServiceUnavailable)(w, r)
	}
}

// A sidecar that makes two attempts of each call leaves four in all, whatever fails.
func TestACallIsTriedFourTimesAtMost(t *testing.T) {
	for name, upstream := range map[string]func(*atomic.Int64) http.HandlerFunc{
		"nobody is there": func(attempts *atomic.Int64) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { attempts.Add(2); tried(2)(w, r) }
		},
		"all take too long": func(attempts *atomic.Int64) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) { attempts.Add(1); plainly(504)(w, r) }
		},
		"two take too long, then nobody is there": func(attempts *atomic.Int64) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if attempts.Load() < 2 {
					attempts.Add(1)
					plainly(504)(w, r)
					return
				}
				attempts.Add(2)
				tried(2)(w, r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var attempts atomic.Int64
			a := open(t, options{upstream: upstream(&attempts)}).do(t, "GET", "/books/1", "")
			if n := attempts.Load(); n > 4 || n < 3 || a.StatusCode < 500 {
				t.Errorf("%d attempts for %d", n, a.StatusCode)
			}
			// Nor does the ingress begin all over again.
			if a.Header.Get("X-Envoy-Ratelimited") == "" {
				t.Errorf("the answer is not marked as final: %v", a.Header)
			}
		})
	}
}

// What a service refuses to be rid of load is not to come again by way of the
// ingress, and neither is anything else that a gateway has answered.
func TestFinalAnswersAreMarkedForTheIngress(t *testing.T) {
	for code, want := range map[string]int{"overloaded": 503, "unavailable": 503, "outcome_unknown": 503, "deadline_exceeded": 504, "out_of_stock": 409} {
		s := open(t, options{upstream: problem(want, code)})
		a := s.do(t, "POST", "/orders", "{}", "Idempotency-Key", "k")
		a.want(t, want, code)
		if final := a.Header.Get("X-Envoy-Ratelimited") != ""; final != (want > 500) {
			t.Errorf("%s: %v", code, a.Header)
		}
		if n := s.calls.Load(); n != 1 {
			t.Errorf("%s of the coordinator had %d calls", code, n)
		}
	}
}

func TestReroutes(t *testing.T) {
	cases := []struct {
		name         string
		upstream     http.HandlerFunc
		method, path string
		key          string
		status       int
		code         string
		calls        int64
	}{
		{"a read after a reset", flaky(1, reset), "GET", "/books/1", "", 200, "", 2},
		{"a read nobody was there for", flaky(1, plainly(503)), "GET", "/books/1", "", 200, "", 2},
		{"a read after a bad gateway", flaky(1, plainly(502)), "GET", "/books/1", "", 200, "", 2},
		{"a read that fails twice", flaky(2, reset), "GET", "/books/1", "", 503, "unavailable", 2},
		{"an order with a key", flaky(1, plainly(503)), "POST", "/orders", "k", 200, "", 2},
		{"an order without a key", flaky(1, plainly(503)), "POST", "/orders", "", 503, "unavailable", 1},
		{"a cancel", flaky(1, plainly(503)), "POST", "/orders/1/cancel", "", 200, "", 2},
		{"a checkout with a key", flaky(1, reset), "POST", "/checkouts", "k", 200, "", 2},
		{"a checkout without a key", flaky(1, reset), "POST", "/checkouts", "", 503, "unavailable", 1},
		{"an approval", flaky(1, plainly(503)), "POST", "/checkouts/1/approve", "", 200, "", 2},
		{"a return without a key", flaky(1, plainly(503)), "POST", "/orders/1/returns", "", 503, "unavailable", 1},
		{"a stream that nobody was there for", flaky(1, plainly(503)), "GET", "/checkouts/1/events", "", 200, "", 2},
		{"a stream of nothing", flaky(1, problem(404, "not_found")), "GET", "/checkouts/1/events", "", 404, "not_found", 1},
		{"a delete", flaky(1, plainly(503)), "DELETE", "/books/1", "k", 503, "unavailable", 1},
		{"a proxy's time-out, twice", flaky(2, plainly(504)), "GET", "/books/1", "", 200, "", 3},
		{"a proxy's time-out, three times", flaky(3, plainly(504)), "GET", "/books/1", "", 504, "deadline_exceeded", 3},
		{"the service's own problem", flaky(1, problem(503, "overloaded")), "GET", "/books/1", "", 503, "overloaded", 1},
		{"the service's refusal", flaky(1, problem(409, "out_of_stock")), "POST", "/orders", "k", 409, "out_of_stock", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, options{upstream: c.upstream})
			headers := []string{}
			if c.key != "" {
				headers = append(headers, "Idempotency-Key", c.key)
			}
			a := s.do(t, c.method, c.path, "{}", headers...)
			a.want(t, c.status, c.code)
			if got := s.calls.Load(); got != c.calls {
				t.Errorf("the service was called %d times, want %d", got, c.calls)
			}
			if got := s.counted(t, "reroutes_total"); got != float64(c.calls-1) {
				t.Errorf("%v reroutes were counted", got)
			}
			if c.code == "unavailable" && a.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
			}
			if c.code == "overloaded" && a.Header.Get("Retry-After") != "7" {
				t.Errorf("the service's Retry-After became %q", a.Header.Get("Retry-After"))
			}
		})
	}
}

// counted adds up a counter's series.
func (s *shop) counted(t *testing.T, name string) (total float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
		}
	}
	return total
}

func TestAnOpenCircuitIsAnsweredAtOnce(t *testing.T) {
	s := open(t, options{upstream: func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/books") {
			reset(w, r)
			return
		}
		echo(w, r)
	}})
	for range 3 {
		s.do(t, "GET", "/books/1", "").want(t, http.StatusServiceUnavailable, "unavailable")
	}
	before := s.calls.Load()
	a := s.do(t, "GET", "/books/2", "")
	a.want(t, http.StatusServiceUnavailable, "circuit_open")
	if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 10 {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	s.do(t, "POST", "/books", "{}").want(t, http.StatusServiceUnavailable, "circuit_open")
	if n := s.calls.Load() - before; n != 0 {
		t.Errorf("%d calls were sent", n)
	}
	s.do(t, "GET", "/orders/1", "").want(t, http.StatusOK, "")
	s.do(t, "POST", "/orders", "{}").want(t, http.StatusOK, "")
	if n := s.counted(t, "circuit_opened_total"); n != 1 {
		t.Errorf("%v openings were counted", n)
	}
}

func TestNobodyListening(t *testing.T) {
	s := &shop{registry: prometheus.NewRegistry()}
	nobody, err := url.Parse("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	s.serve(t, map[gateway.Upstream]*url.URL{gateway.Books: nobody, gateway.Orders: nobody, gateway.Coordinator: nobody}, options{})
	s.do(t, "GET", "/books/1", "").want(t, http.StatusServiceUnavailable, "unavailable")
	a := s.do(t, "GET", "/health", "")
	a.want(t, http.StatusOK, "")
	if a.json["status"] != "degraded" {
		t.Errorf("health is %s", a.text)
	}
}

func TestSlowServicesAreNotWaitedForLongerThanTheCallerDoes(t *testing.T) {
	release := make(chan struct{})
	s := open(t, options{upstream: func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}})
	defer close(release)
	a := s.do(t, "GET", "/books/1", "", "X-Request-Timeout-Ms", "100")
	a.want(t, http.StatusGatewayTimeout, "deadline_exceeded")
	if got := s.calls.Load(); got != 1 {
		t.Errorf("called %d times: no time was left for a second", got)
	}
}

func TestHealthNamesTheServices(t *testing.T) {
	s := open(t, options{})
	a := s.do(t, "GET", "/health", "")
	a.want(t, http.StatusOK, "")
	dependencies, _ := a.json["dependencies"].(map[string]any)
	for _, name := range []string{"books", "orders", "coordinator"} {
		if dependencies[name] != "ok" {
			t.Errorf("health is %s", a.text)
		}
	}
}

func TestAnswersArePassedOnWhole(t *testing.T) {
	s := open(t, options{upstream: func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("ETag", `"1.2"`)
		h.Set("Location", "/orders/7")
		h.Set("Idempotent-Replayed", "true")
		h.Set("X-Envoy-Upstream-Service-Time", "3")
		h.Set("X-Envoy-Attempt-Count", "2")
		h.Set("Server", "envoy")
		h.Set("X-Request-Id", "theirs")
		h.Set("X-Highest-Book-Id", "9")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"id":7}`))
	}})
	a := s.do(t, "POST", "/orders", "{}", "X-Request-Id", "forged")
	a.want(t, http.StatusCreated, "")
	if id := a.Header.Get("X-Request-Id"); id == "forged" || id == "theirs" {
		t.Errorf("X-Request-Id is %q", id)
	}
	for name, want := range map[string]string{
		"Etag": `"1.2"`, "Location": "/orders/7", "Idempotent-Replayed": "true", "Content-Type": "application/json",
		"X-Highest-Book-Id": "", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Envoy-Upstream-Service-Time": "", "X-Envoy-Attempt-Count": "", "Server": "",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a.text != `{"id":7}` {
		t.Errorf("the body became %s", a.text)
	}
}
