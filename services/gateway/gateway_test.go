package gateway_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	keys                 string // that sign consistency tokens
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
	keys := ""
	if o.keys != "" {
		keys = filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(keys, []byte(o.keys), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g, err := gateway.New(gateway.Options{
		Upstreams: upstreams, Tokens: tokens, OperatorForCatalogue: o.operatorForCatalogue, Limits: o.limits,
		ConsistencyKeys: keys,
		Resilience:      gateway.Resilience{CircuitOpenFirst: 10 * time.Second}, // on a busy machine, too, no trial comes between two calls
		Registry:        s.registry, Log: slog.New(slog.DiscardHandler),
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

// The attack: one address sends hundreds of bodies that declare a megabyte and never end, to any path. Memory stays flat,
// and other clients are served meanwhile.
func TestUnfinishedBodiesTakeNothingFromOthers(t *testing.T) {
	s := open(t, options{limits: limit.Limits{Rate: 1e6, Burst: 1e6, InFlight: 64}})
	base, _ := s.listen(t)
	part := strings.Repeat("x", 60_000)
	for name, head := range map[string]string{
		"no such path":    "POST /nowhere HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"not allowed":     "GET /transactions HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"too large":       "POST /orders HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"in chunks":       "POST /orders HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
		"a lying length":  "POST /orders HTTP/1.1\r\nContent-Length: 65000\r\n",
		"with a key":      "POST /orders HTTP/1.1\r\nIdempotency-Key: k\r\nContent-Length: 65000\r\n",
		"a wrong method":  "BREW /orders HTTP/1.1\r\nContent-Length: 1000000\r\n",
		"waits for a 100": "POST /nowhere HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			for range 128 {
				conn := dial(t, base)
				sent := head + "Host: a\r\nX-Client-Address: 192.0.2.1\r\n\r\n"
				if strings.Contains(head, "chunked") {
					sent += "f4240\r\n"
				}
				_, _ = io.WriteString(conn, sent+part) // it may have been refused by then
			}
			if grown := int64(heap()) - int64(before); grown > 16<<20 {
				t.Errorf("the heap grew by %d KiB", grown>>10)
			}
			conn := dial(t, base)
			if _, err := io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: a\r\nX-Client-Address: 192.0.2.2\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
				t.Fatal(err)
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("another client was answered %d", response.StatusCode)
			}
		})
	}
}

func dial(t *testing.T, base string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
