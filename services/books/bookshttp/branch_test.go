package bookshttp_test

import (
	"fmt"
	"testing"
	"time"
)

// message is the body of a call about the books branch.
func message(payload string) string {
	deadline := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	if payload != "" {
		payload = `,"payload":` + payload
	}
	return fmt.Sprintf(`{"branch":"books","branches":["books","orders"],"deadline":%q%s}`, deadline, payload)
}

func reserve(quantity, cents int) string {
	return message(fmt.Sprintf(`{"action":"reserve","orderId":"o","lines":[{"bookId":1,"quantity":%d,"unitPriceCents":%d}]}`, quantity, cents))
}

func TestABranchHoldsItsCopiesUntilTheDecision(t *testing.T) {
	s := open(t)
	path := s.add(emma)
	left := func(want float64) {
		t.Helper()
		if got := s.do("GET", path+"/availability", ""); got.body["available"] != want {
			t.Errorf("got %s, want %v", got.text, want)
		}
	}
	for range 2 { // asked again, nothing is taken twice
		s.want(s.do("POST", "/internal/transactions/g1/prepare", reserve(2, 899)), 200, "")
	}
	left(3)
	s.want(s.do("POST", path+"/stock", `{"delta":-1}`), 409, "contended")
	for range 2 {
		s.want(s.do("POST", "/internal/transactions/g1/commit", message("")), 200, "")
	}
	left(1)
	s.want(s.do("POST", "/internal/transactions/g2/prepare", reserve(1, 899)), 200, "")
	s.want(s.do("POST", "/internal/transactions/g2/abort", message("")), 200, "")
	left(1)
	s.want(s.do("POST", "/internal/transactions/g2/prepare", reserve(1, 899)), 409, "aborted")
}

func TestABranchRefusesWithWhatTheBuyerMustKnow(t *testing.T) {
	s := open(t)
	s.add(emma)
	short := s.want(s.do("POST", "/internal/transactions/g1/prepare", reserve(9, 899)), 409, "out_of_stock")
	if got := fmt.Sprint(short.body["books"]); got != "[map[available:3 bookId:1]]" {
		t.Errorf("got %s", got)
	}
	repriced := s.want(s.do("POST", "/internal/transactions/g2/prepare", reserve(1, 1)), 409, "price_changed")
	if got := fmt.Sprint(repriced.body["books"]); got != "[map[bookId:1 unitPriceCents:899]]" {
		t.Errorf("got %s", got)
	}
}
