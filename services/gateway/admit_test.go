package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"bookstore/services/gateway/limit"
	"bookstore/services/platform/web"
)

// slow gives nothing back within a test.
var slow = limit.Limits{Rate: .01, Burst: 3, InFlight: 2}

// door is an app of nothing but the admission. Requests with X-Test-Caller have
// a token's identity.
func door(t testing.TB, a *admission, callers map[string]*Identity) func(headers ...string) *http.Response {
	t.Helper()
	app := web.New(web.Options{Service: "door"})
	app.Get("/", func(c *fiber.Ctx) error {
		in, err := a.admit(web.Context(c), c.Context(), callers[c.Get("X-Test-Caller")])
		if err != nil {
			return err
		}
		defer in.done()
		return c.SendString("in")
	})
	return func(headers ...string) *http.Response {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		response, err := app.Test(r, -1)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
}

func TestEveryClientHasItsOwnLimits(t *testing.T) {
	t.Parallel()
	send := door(t, newAdmission(limit.New(limit.Options{}), slow), map[string]*Identity{
		"plain":  {Name: "plain", client: "token:plain"},
		"better": {Name: "better", client: "token:better", Limits: limit.Limits{Rate: .02, Burst: 5, InFlight: 1}},
	})
	cases := []struct {
		who      string
		headers  [][]string // of the same client
		admitted int
		policy   string
	}{
		{"an address", [][]string{{"X-Client-Address", "192.0.2.1"}}, 3, "1;w=100;burst=3"},
		{"another address, also as IPv6 has it", [][]string{{"X-Client-Address", "192.0.2.2"}, {"X-Client-Address", "::ffff:192.0.2.2"}}, 3, "1;w=100;burst=3"},
		{"an IPv6 network", [][]string{{"X-Client-Address", "2001:db8::1"}, {"X-Client-Address", "2001:db8::2:1"}, {"X-Client-Address", "2001:db8::3%eth0"}}, 3, "1;w=100;burst=3"},
		{"another IPv6 network", [][]string{{"X-Client-Address", "2001:db8:0:1::1"}}, 3, "1;w=100;burst=3"},
		{
			"nobody known",
			[][]string{{}, {"X-Client-Address", ""}, {"X-Client-Address", "me"}, {"X-Client-Address", strings.Repeat("1", 99)}, {"X-Forwarded-For", "192.0.2.9"}},
			3, "1;w=100;burst=3",
		},
		{"a token, from wherever", [][]string{{"X-Test-Caller", "plain"}, {"X-Test-Caller", "plain", "X-Client-Address", "192.0.2.7"}}, 3, "1;w=100;burst=3"},
		{"a token with limits", [][]string{{"X-Test-Caller", "better"}}, 5, "1;w=50;burst=5"},
	}
	for _, c := range cases {
		for i := range 8 {
			response := send(c.headers[i%len(c.headers)]...)
			if got := response.Header.Get("RateLimit-Policy"); got != c.policy {
				t.Errorf("%s: the policy is %q", c.who, got)
			}
			if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < c.admitted]; response.StatusCode != want {
				t.Errorf("%s: request %d got %d, want %d", c.who, i, response.StatusCode, want)
			}
		}
	}
}

func TestHeadersOfLimitedAnswers(t *testing.T) {
	t.Parallel()
	send := door(t, newAdmission(limit.New(limit.Options{}), slow), nil)
	send()
	send()
	response := send()
	for name, want := range map[string]string{
		"RateLimit-Limit": "1", "RateLimit-Remaining": "0", "RateLimit-Reset": "100", "RateLimit-Policy": "1;w=100;burst=3", "Retry-After": "",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("the last admitted one has %s %q, want %q", name, got, want)
		}
	}
	response = send()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(body), `"code":"rate_limited"`) {
		t.Errorf("got %d %s", response.StatusCode, body)
	}
	for name, want := range map[string]string{
		"RateLimit-Limit": "1", "RateLimit-Remaining": "0", "RateLimit-Reset": "100", "Retry-After": "100", "Content-Type": "application/problem+json",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("the refused one has %s %q, want %q", name, got, want)
		}
	}
}

func TestAnsweredRequestsAreNoLongerInFlight(t *testing.T) {
	t.Parallel()
	a := newAdmission(limit.New(limit.Options{}), limit.Limits{Rate: 100, Burst: 100, InFlight: 1})
	send := door(t, a, nil)
	for i := range 5 {
		if response := send(); response.StatusCode != http.StatusOK {
			t.Fatalf("request %d got %d", i, response.StatusCode)
		}
	}
	ctx := &fasthttp.RequestCtx{}
	in, err := a.admit(t.Context(), ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response := send(); response.StatusCode != http.StatusTooManyRequests || response.Header.Get("RateLimit-Limit") != "100" || response.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d %v", response.StatusCode, response.Header)
	}
	in.done()
	if response := send(); response.StatusCode != http.StatusOK {
		t.Errorf("got %d", response.StatusCode)
	}
}

func TestWithoutALimiterNobodyIsLimited(t *testing.T) {
	t.Parallel()
	in, err := newAdmission(nil, limit.Limits{}).admit(t.Context(), &fasthttp.RequestCtx{}, nil)
	if err != nil {
		t.Error(err)
	}
	in.done()
}

func TestAddressesAreRememberedInBounds(t *testing.T) {
	t.Parallel()
	a := newAdmission(nil, slow)
	for i := range 3 * mostAddresses {
		a.addresses.client(fmt.Appendf(nil, "10.%d.%d.%d", i>>16, i>>8&255, i&255))
		if n := len(a.addresses.names); n > mostAddresses {
			t.Fatalf("%d addresses are remembered", n)
		}
	}
}

// It runs alone: allocations are counted in the whole process.
func TestAdmissionAllocatesNothing(t *testing.T) { //nolint:paralleltest // see above
	a := newAdmission(limit.New(limit.Options{}), limit.Limits{Rate: 1e6, Burst: 1e6, InFlight: 9})
	path := filepath.Join(t.TempDir(), "tokens")
	token := strings.Repeat("0123456789abcdef", 3)
	if err := os.WriteFile(path, []byte("bench client "+token+" rate=1e6 burst=1000000 inflight=9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := NewTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.Header.Set(headerClientAddress, "192.0.2.1")
	bearer := []byte(token)
	for name, find := range map[string]func() *Identity{
		"by address": func() *Identity { return nil },
		"by token":   func() *Identity { return tokens.Find(bearer) },
	} {
		allocations := testing.AllocsPerRun(1000, func() {
			in, err := a.admit(t.Context(), ctx, find())
			if err != nil {
				t.Error(err)
			}
			in.done()
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations per request", name, allocations)
		}
	}
}

func BenchmarkAdmission(b *testing.B) {
	a := newAdmission(limit.New(limit.Options{}), limit.Limits{Rate: 1e9, Burst: 1e9, InFlight: 9})
	ctx := &fasthttp.RequestCtx{}
	ctx.Request.Header.Set(headerClientAddress, "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		in, err := a.admit(b.Context(), ctx, nil)
		if err != nil {
			b.Fatal(err)
		}
		in.done()
	}
}
