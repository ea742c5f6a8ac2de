package gateway_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
)

const (
	keyA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	keyB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	// issued is a token as services make them.
	issued = "AWkYpO3wAAABAAAAAwAAAAAWs9hI"
)

// lists is a gateway whose services answer writes with a token, and reads with the token that they got.
func lists(t *testing.T, keys string) *shop {
	return open(t, options{keys: keys, upstream: func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("X-Consistency-Token", issued)
		}
		echo(w, r)
	}})
}

// token is what a write is answered with.
func (s *shop) token(t *testing.T) string {
	t.Helper()
	a := s.do(t, "POST", "/orders", "{}")
	a.want(t, http.StatusOK, "")
	return a.Header.Get("X-Consistency-Token")
}

// seen is the token that a service gets with a list.
func (s *shop) seen(t *testing.T, path, token string) any {
	t.Helper()
	a := s.do(t, "GET", path, "", "X-Consistency-Token", token)
	a.want(t, http.StatusOK, "")
	headers, _ := a.json["headers"].(map[string]any)
	return headers["X-Consistency-Token"]
}

func TestATokenIsSignedOnItsWayOutAndCheckedOnItsWayIn(t *testing.T) {
	t.Parallel()
	s := lists(t, keyA+"\n")
	token := s.token(t)
	if !strings.HasPrefix(token, issued+".") {
		t.Fatalf("a client gets %q", token)
	}
	for _, path := range []string{"/books", "/orders"} {
		if got, ok := s.seen(t, path, token).([]any); !ok || len(got) != 1 || got[0] != issued {
			t.Errorf("%s: the service gets %v", path, got)
		}
		future := "AWkYpO3wAAABAAAAA_________8A"
		for _, forged := range []string{
			"nonsense", issued + ".", issued + ".AAAAAAAAAAAAAAAAAAAAAA", token + "A", token[:len(token)-1], future + token[len(issued):], "." + token,
			future + ".", strings.Repeat("A", 4000),
		} {
			a := s.do(t, "GET", path, "", "X-Consistency-Token", forged)
			a.want(t, http.StatusBadRequest, "malformed_request")
			if !strings.Contains(a.text, `"field":"X-Consistency-Token"`) {
				t.Errorf("the problem does not name the header: %s", a.text)
			}
		}
		if got := s.seen(t, path, issued); got != nil {
			t.Errorf("%s: a token without a signature reaches the service: %v", path, got)
		}
	}
}

func TestAKeyIsKnownBeforeItSignsAndAfter(t *testing.T) {
	t.Parallel()
	before, between, after := lists(t, keyA+" "+keyB), lists(t, keyB+" "+keyA), lists(t, keyB)
	old, fresh := before.token(t), between.token(t)
	for name, accepted := range map[string]any{
		"the old key's in between": between.seen(t, "/orders", old), "the new key's before": before.seen(t, "/orders", fresh),
		"the new key's after": after.seen(t, "/orders", fresh),
	} {
		if accepted == nil {
			t.Errorf("%s is not known", name)
		}
	}
	after.do(t, "GET", "/orders", "", "X-Consistency-Token", old).want(t, http.StatusBadRequest, "malformed_request")
}

func TestWithoutKeysTokensAreAsServicesMakeThem(t *testing.T) {
	t.Parallel()
	s := lists(t, "")
	if token := s.token(t); token != issued || s.seen(t, "/books", token) == nil {
		t.Errorf("a client gets %q", token)
	}
}

func TestKeysAreLong(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{" ", "short", keyA + " short"} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		address := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
		_, err := gateway.New(gateway.Options{
			Upstreams:       map[gateway.Upstream]*url.URL{gateway.Books: address, gateway.Orders: address, gateway.Coordinator: address},
			ConsistencyKeys: path, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		})
		if err == nil || strings.Contains(err.Error(), keyA) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What is refused costs its client as what is answered does: paths that there are not, methods, forms.
func TestRefusalsCount(t *testing.T) {
	t.Parallel()
	for name, call := range map[string][]string{
		"no path":        {"GET", "/nothing"},
		"probes":         {"GET", "/metrics-of-others"},
		"another method": {"DELETE", "/orders"},
		"another form":   {"GET", "/orders", "Accept", "text/html"},
		"encoded":        {"POST", "/orders", "Content-Encoding", "gzip"},
	} {
		s := open(t, options{limits: limit.Limits{Rate: .01, Burst: 3, InFlight: 2}})
		for i := range 5 {
			a := s.do(t, call[0], call[1], "", append([]string{"X-Client-Address", "192.0.2.1"}, call[2:]...)...)
			if limited := a.StatusCode == http.StatusTooManyRequests; limited != (i >= 3) {
				t.Errorf("%s: request %d is answered %d", name, i, a.StatusCode)
			}
		}
	}
}
