package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"bookstore/services/gateway"
)

func TestEveryCallGoesToItsService(t *testing.T) {
	s := open(t, options{})
	cases := []struct{ method, path, upstream string }{
		{"GET", "/books?q=go&limit=5", "books"},
		{"POST", "/books", "books"},
		{"GET", "/books/7", "books"},
		{"PUT", "/books/7", "books"},
		{"PATCH", "/books/7", "books"},
		{"DELETE", "/books/7", "books"},
		{"PUT", "/books/by-source/a%20b", "books"},
		{"PUT", "/books/by-source?sourceId=..%2Fworks%5COL1W%3F", "books"},
		{"GET", "/books/7/availability", "books"},
		{"POST", "/books/7/stock", "books"},
		{"GET", "/orders?customerId=c", "orders"},
		{"GET", "/orders/0190", "orders"},
		{"POST", "/orders", "coordinator"},
		{"POST", "/orders/0190/cancel", "coordinator"},
		{"POST", "/orders/0190/returns", "coordinator"},
		{"GET", "/returns/0190", "coordinator"},
		{"POST", "/checkouts", "coordinator"},
		{"GET", "/checkouts/0190", "coordinator"},
		{"POST", "/checkouts/0190/approve", "coordinator"},
		{"POST", "/checkouts/0190/cancel", "coordinator"},
	}
	for _, c := range cases {
		a := s.do(t, c.method, c.path, `{"a":1}`, "Content-Type", "application/json")
		a.want(t, http.StatusOK, "")
		if got := a.Header.Get("X-Test-Upstream"); got != c.upstream {
			t.Errorf("%s %s went to %s", c.method, c.path, got)
		}
		if a.json["method"] != c.method || a.json["uri"] != c.path || a.json["body"] != `{"a":1}` {
			t.Errorf("%s %s arrived as %s", c.method, c.path, a.text)
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range gateway.Routes() {
		key := r.Method + " " + r.Pattern
		if seen[key] {
			t.Errorf("%s stands there twice", key)
		}
		seen[key] = true
		if r.Timeout <= 0 || r.Timeout >= 15*time.Second {
			t.Errorf("%s may take %v: Envoy gives up after 15 s", key, r.Timeout)
		}
		if r.Method == http.MethodGet && r.Repeat != gateway.Always {
			t.Errorf("%s is a read and may always be repeated", key)
		}
		if strings.HasPrefix(r.Pattern, "/internal") {
			t.Errorf("%s is nobody's business outside", key)
		}
	}
}

func TestWhatIsNotInTheTableIsNotLetIn(t *testing.T) {
	s := open(t, options{})
	for _, path := range []string{
		"/", "/nothing", "/internal/quotes", "/internal/transactions/a/commit", "/BOOKS/1", "/books/1/", "/books/1/stock/2",
		"/books/..", "/books/../internal/quotes", "/books/%2e%2e/availability", "/books/..%2finternal%2fquotes", "/books/a%5cb",
		"/books/%2E", "//books", "/books//availability", "/books/%00",
	} {
		s.do(t, "GET", path, "").want(t, http.StatusNotFound, "not_found")
	}
	if n := s.calls.Load(); n != 0 {
		t.Errorf("%d calls reached a service", n)
	}
}

func TestWrongMethodsNameTheRightOnes(t *testing.T) {
	s := open(t, options{})
	a := s.do(t, "DELETE", "/orders", "")
	a.want(t, http.StatusMethodNotAllowed, "method_not_allowed")
	for _, allowed := range []string{"GET", "HEAD", "POST"} {
		if !strings.Contains(a.Header.Get("Allow"), allowed) {
			t.Errorf("Allow is %q, without %s", a.Header.Get("Allow"), allowed)
		}
	}
}

func TestReadsAnswerHead(t *testing.T) {
	s := open(t, options{})
	a := s.do(t, "HEAD", "/books/7", "")
	a.want(t, http.StatusOK, "")
	if a.text != "" || a.ContentLength <= 0 {
		t.Errorf("got a body of %d bytes and Content-Length %d", len(a.text), a.ContentLength)
	}
}

func TestNegotiation(t *testing.T) {
	s := open(t, options{})
	for accept, want := range map[string]int{
		"": 200, "*/*": 200, "application/json": 200, "application/*;q=0.1": 200,
		"text/html, application/json;q=0.9": 200, "application/problem+json": 200,
		"text/html": 406, "image/png, text/*": 406, "application/json;q=0": 406,
	} {
		a := s.do(t, "GET", "/books/7", "", "Accept", accept)
		if a.StatusCode != want {
			t.Errorf("Accept %q: got %d, want %d", accept, a.StatusCode, want)
		}
	}
	s.do(t, "POST", "/orders", "x", "Content-Encoding", "gzip").want(t, http.StatusUnsupportedMediaType, "unsupported_media_type")
}

func TestBodiesHaveALimit(t *testing.T) {
	s := open(t, options{})
	for path, most := range map[string]int{"/orders": 64 << 10, "/orders/1/cancel": 16 << 10, "/books": 128 << 10} {
		s.do(t, "POST", path, strings.Repeat("x", most)).want(t, http.StatusOK, "")
		s.do(t, "POST", path, strings.Repeat("x", most+1)).want(t, http.StatusRequestEntityTooLarge, "body_too_large")
	}
	if n := s.calls.Load(); n != 3 {
		t.Errorf("%d calls reached a service", n)
	}
}
