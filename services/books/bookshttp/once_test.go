package bookshttp_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestAKeyReplaysItsOutcome(t *testing.T) {
	s := open(t)
	first := s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k"), 201, "")
	again := s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k"), 201, "")
	if again.text != first.text || first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %s after %s", again.text, first.text)
	}
	for _, name := range []string{"Location", "Etag", "Content-Type"} {
		if first.Header.Get(name) == "" || again.Header.Get(name) != first.Header.Get(name) {
			t.Errorf("%s is %q, was %q", name, again.Header.Get(name), first.Header.Get(name))
		}
	}
	s.want(s.do("POST", "/books/1/stock", `{"delta":1}`, "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	s.want(s.do("POST", "/books/1/stock", `{"delta":1}`, "Idempotency-Key", "k", "X-Caller", "token:b"), 200, "")
	s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k k"), 422, "invalid_field")
}

func TestAKeyReplaysARefusal(t *testing.T) {
	s := open(t)
	path := s.add(emma) + "/stock"
	first := s.want(s.do("POST", path, `{"delta":-9}`, "Idempotency-Key", "k", "X-Request-Id", "first"), 409, "out_of_stock")
	s.want(s.do("POST", path, `{"delta":90}`), 200, "")
	again := s.want(s.do("POST", path, `{"delta":-9}`, "Idempotency-Key", "k", "X-Request-Id", "second"), 409, "out_of_stock")
	if first.body["requestId"] != "first" || again.text != strings.Replace(first.text, `"first"`, `"second"`, 1) || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %s after %s", again.text, first.text)
	}
	taken := s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k2", "X-Request-Id", "id"), 422, "invalid_field")
	if again := s.do("POST", "/books", emma, "Idempotency-Key", "k2", "X-Request-Id", "id"); again.text != taken.text {
		t.Errorf("got %s after %s", again.text, taken.text)
	}
}

func TestABadRequestBindsNoKey(t *testing.T) {
	s := open(t)
	s.want(s.do("POST", "/books", `{"title":1}`, "Idempotency-Key", "k"), 400, "malformed_request")
	s.want(s.do("POST", "/books", emma, "Idempotency-Key", "k"), 201, "")
}

func TestOneOfManyAtOnceIsDone(t *testing.T) {
	s := open(t)
	path := s.add(emma) + "/stock"
	var wg sync.WaitGroup
	answers := make([]answer, 12)
	for i := range answers {
		wg.Go(func() {
			answers[i] = s.do("POST", path, `{"delta":-1}`, "Idempotency-Key", "k"+strconv.Itoa(i%2))
		})
	}
	wg.Wait()
	for _, a := range answers {
		s.want(a, 200, "")
	}
	if got := s.do("GET", "/books/1/availability", ""); got.body["available"] != 1.0 {
		t.Errorf("two keys took %s", got.text)
	}
}
