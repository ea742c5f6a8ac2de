package gateway_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/web"
	"bookstore/services/platform/web/webtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(webtest.Leaks(), redistest.LateDials())...)
}

const tokenFile = "# name role token\nadmin operator s3cret-operator\n\nbench client s3cret-client\n"

// shop is a gateway whose upstreams are one handler, told apart by X-Test-Upstream.
type shop struct {
	app      *fiber.App
	registry *prometheus.Registry
	calls    atomic.Int64
}

type options struct {
	operatorForCatalogue bool
	upstream             http.HandlerFunc
	limits               limit.Limits
}

func open(t testing.TB, o options) *shop {
	t.Helper()
	s := &shop{registry: prometheus.NewRegistry()}
	upstreams := map[gateway.Upstream]*url.URL{}
	for _, name := range []gateway.Upstream{gateway.Books, gateway.Orders, gateway.Coordinator} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.calls.Add(1)
			w.Header().Set("X-Test-Upstream", string(name))
			if o.upstream != nil {
				o.upstream(w, r)
				return
			}
			echo(w, r)
		}))
		t.Cleanup(server.Close)
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		upstreams[name] = u
	}
	s.serve(t, upstreams, o)
	return s
}

func (s *shop) serve(t testing.TB, upstreams map[gateway.Upstream]*url.URL, o options) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(tokenFile), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := gateway.NewTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Options{
		Upstreams: upstreams, Tokens: tokens, OperatorForCatalogue: o.operatorForCatalogue, Limits: o.limits,
		Registry: s.registry, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	s.app = web.New(web.Options{Door: true, Service: "gateway", Registry: s.registry, Health: g.Health})
	g.Register(s.app)
}

// echo answers with what the upstream saw.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "body": string(body), "headers": r.Header,
	})
}

type answer struct {
	*http.Response
	text string
	json map[string]any
}

func (s *shop) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, "http://shop"+path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.app.Test(r, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Response: response, text: string(text)}
	_ = json.Unmarshal(text, &a.json)
	return a
}

// want checks status and, for problems, the code.
func (a answer) want(t *testing.T, status int, code string) {
	t.Helper()
	if a.StatusCode != status || (code != "" && a.json["code"] != code) {
		t.Errorf("got %d %s, want %d %s", a.StatusCode, a.text, status, code)
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Error("the answer has no X-Request-Id")
	}
}
