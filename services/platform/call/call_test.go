package call_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"bookstore/services/platform/call"
	"bookstore/services/platform/dial/blackhole"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/requestinfo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial starts a server and a client of it that both end with the test.
func dial(t *testing.T, handler http.HandlerFunc, o call.Options) *call.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	client := call.New(server.URL, o)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client
}

func TestDoSendsWhatTheNextHopNeeds(t *testing.T) {
	var got http.Header
	var body string
	client := dial(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got, body = r.Header, string(text)
		_, _ = io.WriteString(w, `{"id":7}`)
	}, call.Options{})

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	ctx = requestinfo.With(ctx, requestinfo.Info{RequestID: "r-1", Caller: "token:test"})
	var out struct{ ID int64 }
	err := client.Do(ctx, http.MethodPost, "/notes", map[string]int{"a": 1}, &out, call.Header("Idempotency-Key", "k"))
	if err != nil || out.ID != 7 || body != `{"a":1}` {
		t.Fatalf("got %+v from %s, %v", out, body, err)
	}
	for name, want := range map[string]string{
		"X-Request-Id": "r-1", "X-Caller": "token:test", "Idempotency-Key": "k", "Content-Type": "application/json",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	if ms, err := strconv.Atoi(got.Get("X-Request-Timeout-Ms")); err != nil || ms < 1 || ms > 2000 {
		t.Errorf("deadline passed on as %q", got.Get("X-Request-Timeout-Ms"))
	}
}

func TestARefusalKeepsItsIdentity(t *testing.T) {
	client := dial(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(w, `{"type":"x","status":412,"code":"version_mismatch","detail":"2 left","requestId":"r",
			"errors":[{"field":"items[0]","code":"short","detail":"d"}],"things":[{"thingId":1,"available":2}]}`)
	}, call.Options{})
	err := client.Do(context.Background(), http.MethodGet, "/", nil, nil)
	f := fault.As(err)
	if !fault.Refused(err) || f.Kind != fault.VersionMismatch || f.Message != "2 left" || f.RetryAfter != 3*time.Second {
		t.Errorf("got %+v", f)
	}
	if len(f.Fields) != 1 || f.Fields[0].Field != "items[0]" || len(f.Details) != 1 || f.Details["things"] == nil {
		t.Errorf("fields %v, details %v", f.Fields, f.Details)
	}
}

func TestWhatDecidesNothingIsUnknown(t *testing.T) {
	answers := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		timeout time.Duration
	}{
		"proxy's 503": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "upstream connect error", http.StatusServiceUnavailable)
		}, fault.Unavailable, 0},
		"internal error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"code":"internal"}`, http.StatusInternalServerError)
		}, fault.Internal, 0},
		"unreadable success": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>")
		}, fault.OutcomeUnknown, 0},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, fault.Unavailable, 0},
		"too late": {
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			fault.DeadlineExceeded, 200 * time.Millisecond,
		},
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			client := dial(t, c.handler, call.Options{Timeout: c.timeout})
			var out struct{}
			err := client.Do(context.Background(), http.MethodPost, "/", nil, &out)
			if !fault.Unknown(err) || fault.KindOf(err) != c.kind {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	client := call.New(server.URL, call.Options{Destination: "things"})
	defer client.Close()
	err := client.Do(context.Background(), http.MethodGet, "/", nil, nil)
	f := fault.As(err)
	if f.Kind != fault.Unavailable || strings.Contains(f.Message, "127.0.0.1") {
		t.Errorf("got %+v", f)
	}
}

func TestClientsShareTheMetricsOfARegistry(t *testing.T) {
	registry := prometheus.NewRegistry()
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	for _, name := range []string{"things", "notes"} {
		client := dial(t, refuse, call.Options{Destination: name, Registry: registry})
		_ = client.Do(context.Background(), http.MethodGet, "/", nil, nil)
	}
	want := `
# HELP calls_total Calls to other services by outcome: done, refused or unknown.
# TYPE calls_total counter
calls_total{destination="things",outcome="refused"} 1
calls_total{destination="notes",outcome="refused"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "calls_total"); err != nil {
		t.Error(err)
	}
}

// A host that vanished holds no call beyond its time, neither on the connection
// that there is nor on a new one.
func TestAPeerThatVanishedHoldsNobody(t *testing.T) {
	const patience = 300 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(server.Close)
	peer := blackhole.New(t, strings.TrimPrefix(server.URL, "http://"))
	client := call.New("http://"+peer.Addr(), call.Options{})
	t.Cleanup(client.Close)
	if err := client.Do(t.Context(), http.MethodPost, "/", nil, nil); err != nil {
		t.Fatal(err)
	}
	peer.Vanish(t)
	for _, connection := range []string{"the one there is", "a new one"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		began := time.Now()
		err := client.Do(ctx, http.MethodPost, "/", nil, nil)
		cancel()
		if took := time.Since(began); err == nil || took > patience+3*time.Second {
			t.Errorf("%s: ended after %s with %v", connection, took, err)
		}
	}
}
