package checkout_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"bookstore/services/txn/saga"
)

// A book's id above 2^53, which no float64 holds, comes out of every refusal as
// it went in: first answered, replayed under its key with the request id of the
// request that repeats it, and shown as the error of a saga.
func TestRefusalsKeepLargeIDsAndCarryTheirOwnRequestID(t *testing.T) {
	t.Parallel()
	const large = 9007199254740993
	s := open(t, options{})
	s.exec(s.books, fmt.Sprintf("ALTER TABLE books ALTER COLUMN id RESTART WITH %d", large))
	if b := s.book("A", 9999, 1); b != large {
		t.Fatalf("the book is %d", b)
	}
	book := fmt.Sprintf(`"bookId":%d`, int64(large))
	const payment = `,"payment":{"method":"card","token":"tok_ok"}`
	for _, c := range []struct {
		name, path, item, rest, code, details string
	}{
		{"sold-out", "/orders", `"quantity":2`, "", "out_of_stock", `"books":[{"available":1,` + book + `}]`},
		{"order", "/orders", `"quantity":1,"unitPriceCents":1`, "", "price_changed", `"books":[{` + book + `,"unitPriceCents":9999}]`},
		{"checkout", "/checkouts", `"quantity":1,"unitPriceCents":1`, payment, "price_changed", `"books":[{` + book + `,"unitPriceCents":9999}]`},
	} {
		for _, request := range []string{"first", "second"} {
			a := s.send(http.MethodPost, s.url+c.path, `{"customerId":"c-1","items":[{`+book+`,`+c.item+`}]`+c.rest+`}`,
				"Idempotency-Key", s.key(c.name), "X-Request-Id", request).want(t, http.StatusConflict, c.code)
			if replayed := a.header.Get("Idempotent-Replayed") == "true"; replayed != (request == "second") ||
				!strings.Contains(a.text, `"requestId":"`+request+`"`) || !strings.Contains(a.text, c.details) {
				t.Errorf("%s, %s: replayed: %v, %s does not tell %s", c.name, request, replayed, a.text, c.details)
			}
		}
	}
	begun := s.send(http.MethodPost, s.url+"/checkouts", `{"customerId":"c-1","items":[{`+book+`,"quantity":2}]`+payment+`}`,
		"Idempotency-Key", s.key("failing")).want(t, http.StatusAccepted, "")
	v := s.ended(begun.header.Get("Location"))
	text := s.send(http.MethodGet, s.url+begun.header.Get("Location"), "").want(t, http.StatusOK, "").text
	if want := `"details":{"books":[{"available":1,` + book + `}]}`; v.State != saga.Failed || strings.Count(text, want) != 2 {
		t.Errorf("not both the checkout and its step tell %s: %s", want, text)
	}
	s.settled()
	s.sagasSettled()
}
