package gateway_test

import (
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
)

// FuzzRequests: however a request is spelled, what gets through to a service is
// a call of the table that no proxy can read differently, and says nothing that
// only the gateway may say.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"/books", "/books/1?x=1", "/books/..", "/books/%2e%2e/internal", "/books//1", "/books/1/../../internal/quotes", "/internal/quotes",
		"/books/by-source/a%20b", "/books/by-source?sourceId=%2F..%2F", "/books/by-source/%2F", "/books/by-source/a%5cb", "/books/%00", "/books/1#internal", "/books/1;x", "\\books",
		"http://other/internal/quotes", "//internal/quotes", "/orders/0190/cancel", "/checkouts/0190/events", "/books/%", "/books/\xff", "/books/a?q=/../internal",
	} {
		f.Add(0, seed, "X-Caller", "token:admin")
	}
	f.Add(1, "/orders", "Connection", "X-Request-Id, X-Caller")
	f.Add(1, "/orders", "Authorization", "Bearer s3cret-client")
	f.Add(1, "/orders", "X-Envoy-Max-Retries", "9")
	f.Add(2, "/books/1", "Transfer-Encoding", "identity")
	seen := make(chan *http.Request, 16)
	s := open(f, options{upstream: func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	}})
	methods := []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodHead}
	f.Fuzz(func(t *testing.T, method int, uri, name, value string) {
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod(methods[(method%len(methods)+len(methods))%len(methods)])
		ctx.Request.SetRequestURI(uri)
		ctx.Request.Header.Set(name, value)
		s.app.Handler()(ctx)
		if status := ctx.Response.StatusCode(); status >= 500 && status != http.StatusServiceUnavailable {
			t.Fatalf("%q %q: %q was answered %d %s", uri, name, value, status, ctx.Response.Body())
		}
		for {
			select {
			case r := <-seen:
				requirePlain(t, uri, r)
			default:
				return
			}
		}
	})
}

// patterns are those of the table, as they match what a service is sent.
var patterns = func() map[string]*regexp.Regexp {
	found := map[string]*regexp.Regexp{}
	for _, r := range gateway.Routes() {
		found[r.Pattern] = regexp.MustCompile("^" + regexp.MustCompile(`:[A-Za-z]+`).ReplaceAllString(r.Pattern, `[^/]+`) + "$")
	}
	return found
}()

func requirePlain(t *testing.T, uri string, r *http.Request) {
	t.Helper()
	got, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		t.Fatalf("%q arrived as %q: %v", uri, r.RequestURI, err)
	}
	known := false
	for _, pattern := range patterns {
		known = known || (pattern.MatchString(got.EscapedPath()) && pattern.MatchString(got.Path))
	}
	if !known || path.Clean(got.Path) != got.Path || strings.ContainsAny(got.Path, "\\\x00") {
		t.Errorf("%q arrived as %q", uri, r.RequestURI)
	}
	for name, values := range r.Header {
		caller := name == "X-Caller" && (values[0] == "token:bench" || values[0] == "token:admin") && r.Header.Get("Authorization") == ""
		switch {
		case name == "X-Caller" && !caller, name == "Authorization", name == "X-Operator", strings.HasPrefix(name, "X-Forwarded-"), strings.HasPrefix(name, "X-Envoy-"):
			t.Errorf("%q arrived with %s: %q", uri, name, values)
		}
	}
}

// FuzzTokens: no file of tokens lets anybody in but those it names.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{
		tokenFile, "", "#", "a operator", "a operator b c", "a king t", "a operator t\na client t\n", "\x00 client t", "a\tclient\tt\r\n", "ü client t",
		"a client t rate=1 burst=2 inflight=3", "a client t rate=NaN burst=2 inflight=3", "a client t rate=1",
	} {
		f.Add([]byte(seed), "t")
	}
	name := filepath.Join(f.TempDir(), "tokens")
	f.Fuzz(func(t *testing.T, content []byte, token string) {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		tokens, err := gateway.NewTokens(name)
		if err != nil {
			return
		}
		who, known := tokens.Identify(token)
		if !known {
			return
		}
		if err := who.Limits.Validate(); err != nil && who.Limits != (limit.Limits{}) {
			t.Fatalf("%q gives %+v: %v", content, who, err)
		}
		for line := range strings.Lines(string(content)) {
			words := strings.Fields(line)
			if len(words) >= 3 && words[0] == who.Name && words[1] == string(who.Role) && words[2] == token && !strings.HasPrefix(words[0], "#") {
				return
			}
		}
		t.Fatalf("%q made %q be %+v", content, token, who)
	})
}
