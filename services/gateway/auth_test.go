package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
	"bookstore/services/platform/wait/waittest"
)

const (
	operator = "Bearer s3cret-operator"
	client   = "Bearer s3cret-client"
)

func TestWhoMayCallWhat(t *testing.T) {
	developing, strict := open(t, options{}), open(t, options{operatorForCatalogue: true})
	cases := []struct {
		shop          *shop
		method, path  string
		authorization string
		status        int
		code          string
	}{
		{developing, "GET", "/books/1", "", 200, ""},
		{developing, "GET", "/books/1", client, 200, ""},
		{developing, "GET", "/books/1", "bearer s3cret-client", 200, ""},
		{developing, "GET", "/books/1", "Bearer nobody", 401, "unauthenticated"},
		{developing, "GET", "/books/1", "Basic s3cret-client", 401, "unauthenticated"},
		{developing, "POST", "/books", "", 200, ""},
		{developing, "GET", "/transactions", "", 401, "unauthenticated"},
		{developing, "GET", "/transactions", client, 403, "forbidden"},
		{developing, "GET", "/transactions", "Bearer nobody", 403, "forbidden"},
		{developing, "GET", "/transactions", "Bearer s3cret-operator2", 403, "forbidden"},
		{developing, "GET", "/transactions", operator, 200, ""},
		{developing, "GET", "/transactions/abc", operator, 200, ""},
		{developing, "POST", "/checkouts/0190/retry", "", 401, "unauthenticated"},
		{developing, "POST", "/checkouts/0190/retry", client, 403, "forbidden"},
		{developing, "POST", "/checkouts/0190/retry", operator, 200, ""},
		{developing, "POST", "/checkouts/0190/cancel", "", 200, ""},
		{strict, "GET", "/books/1", "", 200, ""},
		{strict, "POST", "/orders", "", 200, ""},
		{strict, "POST", "/books", "", 401, "unauthenticated"},
		{strict, "PUT", "/books/by-source/a", client, 403, "forbidden"},
		{strict, "POST", "/books/1/stock", operator, 200, ""},
		{strict, "DELETE", "/books/1", operator, 200, ""},
	}
	for _, c := range cases {
		headers := []string{}
		if c.authorization != "" {
			headers = append(headers, "Authorization", c.authorization)
		}
		a := c.shop.do(t, c.method, c.path, "", headers...)
		a.want(t, c.status, c.code)
		if challenged := a.Header.Get("WWW-Authenticate") == "Bearer"; challenged != (c.status == http.StatusUnauthorized) {
			t.Errorf("%s %s with %q: WWW-Authenticate is %q", c.method, c.path, c.authorization, a.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestTheCallerComesFromTheTokenAlone(t *testing.T) {
	s := open(t, options{})
	seen := func(a answer, name string) string {
		headers, _ := a.json["headers"].(map[string]any)
		values, _ := headers[name].([]any)
		if len(values) == 0 {
			return ""
		}
		text, _ := values[0].(string)
		return text
	}
	a := s.do(t, "POST", "/orders", "{}", "X-Caller", "token:admin", "X-Operator", "yes", "X-Request-Id", "forged", "X-Client-Request-Id", "mine-1",
		"X-Forwarded-For", "1.2.3.4", "X-Envoy-Max-Retries", "9", "Connection", "X-Private", "X-Private", "1", "Te", "trailers", "Idempotency-Key", "k")
	for _, name := range []string{"X-Caller", "X-Operator", "X-Forwarded-For", "X-Envoy-Max-Retries", "X-Private", "Te", "Authorization"} {
		if got := seen(a, name); got != "" {
			t.Errorf("%s: %s was let through", name, got)
		}
	}
	if id := a.Header.Get("X-Request-Id"); id == "forged" || seen(a, "X-Request-Id") != id || seen(a, "X-Client-Request-Id") != "mine-1" ||
		a.Header.Get("X-Client-Request-Id") != "mine-1" || seen(a, "Idempotency-Key") != "k" {
		t.Errorf("lost on the way: %s", a.text)
	}
	a = s.do(t, "POST", "/orders", "{}", "Authorization", client, "X-Caller", "token:admin")
	if seen(a, "X-Caller") != "token:bench" || seen(a, "Authorization") != "" {
		t.Errorf("the service saw %s", a.text)
	}
}

func TestTokensFollowTheirFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a client one\n")
	tokens, err := gateway.NewTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tokens.Identify("one"); !ok {
		t.Fatal("the token is not known")
	}
	write("a client two-is-longer\n")
	waittest.Eventually(t, "the new token is read", func() bool {
		_, ok := tokens.Identify("two-is-longer")
		return ok
	})
	if _, ok := tokens.Identify("one"); ok {
		t.Error("the old token still opens")
	}
}

func TestTokenFilesAreChecked(t *testing.T) {
	for name, text := range map[string]string{
		"no token": "a operator\n", "unknown role": "a king t\n", "too many words": "a client t u\n", "odd name": "a:b client t\n",
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := gateway.NewTokens(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := gateway.NewTokens(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a missing file was accepted")
	}
	none, err := gateway.NewTokens("")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := none.Identify(""); ok {
		t.Error("the empty token is known")
	}
}

func tokensOf(t *testing.T, text string) (*gateway.Tokens, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return gateway.NewTokens(path)
}

func TestTokensMayHaveLimits(t *testing.T) {
	t.Parallel()
	tokens, err := tokensOf(t, "a client one\nb operator two rate=1000.5 burst=2000 inflight=320\nc client three inflight=1 rate=1 burst=1\n")
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]limit.Limits{
		"one": {}, "two": {Rate: 1000.5, Burst: 2000, InFlight: 320}, "three": {Rate: 1, Burst: 1, InFlight: 1},
	} {
		who, known := tokens.Identify(token)
		if !known || who.Limits != want {
			t.Errorf("%s is %+v", token, who)
		}
		found := tokens.Find([]byte(token))
		if found == nil || *found != who || found.Client() != "token:"+who.Name {
			t.Errorf("%s is found as %+v", token, found)
		}
	}
	if found := tokens.Find([]byte("four")); found != nil {
		t.Errorf("nobody is %+v", found)
	}
}

func TestLimitsOfTokensAreChecked(t *testing.T) {
	t.Parallel()
	for _, limits := range []string{
		"rate=1", "rate=1 burst=1", "rate=1 burst=1 inflight=0", "rate=0 burst=1 inflight=1", "rate=NaN burst=1 inflight=1",
		"rate=x burst=1 inflight=1", "rate=1 burst=1.5 inflight=1", "rate=1 burst=1 inflight=1 rate=2", "rate=1 rate=2 burst=1",
		"rate=1 burst=1 in_flight=1", "1 1 1",
	} {
		if _, err := tokensOf(t, "a client secret "+limits+"\n"); err == nil {
			t.Errorf("%s: accepted", limits)
		}
	}
}
