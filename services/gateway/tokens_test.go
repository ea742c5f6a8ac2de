package gateway_test

import (
	"os"
	"path/filepath"
	"testing"

	"bookstore/services/gateway"
	"bookstore/services/gateway/limit"
)

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
