package payments_test

import (
	"math"
	"strings"
	"testing"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
)

func request(token string) payments.Request {
	return payments.Request{
		OrderID: "019aaf00-0000-7000-8000-000000000001", Token: token, Method: "card", AmountCents: 1998, Currency: "EUR",
	}
}

func TestCheckNamesEachBrokenRule(t *testing.T) {
	free := request("tok_ok")
	free.AmountCents = 0
	for _, r := range []payments.Request{request("tok_ok"), free} {
		if err := r.Check(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	cases := []struct {
		field  string
		change func(*payments.Request)
	}{
		{"orderId", func(r *payments.Request) { r.OrderID = "" }},
		{"orderId", func(r *payments.Request) { r.OrderID = strings.ToUpper(r.OrderID[:35]) + "A" }},
		{"orderId", func(r *payments.Request) { r.OrderID = "{" + r.OrderID + "}" }},
		{"token", func(r *payments.Request) { r.Token = "4242424242424242" }},
		{"method", func(r *payments.Request) { r.Method = "" }},
		{"method", func(r *payments.Request) { r.Method = strings.Repeat("a", 33) }},
		{"amountCents", func(r *payments.Request) { r.AmountCents = -1 }},
		{"amountCents", func(r *payments.Request) { r.AmountCents = math.MaxInt64 }},
		{"currency", func(r *payments.Request) { r.Currency = "eur" }},
	}
	for _, c := range cases {
		r := request("tok_ok")
		c.change(&r)
		err := fault.As(r.Check())
		if err == nil || err.Kind != fault.InvalidField || len(err.Fields) != 1 || err.Fields[0].Field != c.field {
			t.Errorf("%+v: got %v", r, err)
		}
	}
	if err := fault.As((payments.Request{AmountCents: -1}).Check()); len(err.Fields) != 5 {
		t.Errorf("not every rule is named: %v", err.Fields)
	}
}

func TestTokens(t *testing.T) {
	for token, known := range map[string]bool{
		"tok_ok": true, "tok_decline": true, "tok_decline_capture": true, "tok_hang": true, "tok_hang_void": true,
		"tok_late": true, "tok_late_refund": true, "tok_fail_1": true, "tok_fail_9": true, "tok_fail_capture_3": true,
		"": false, "tok_": false, "TOK_OK": false, "tok_ok\x20": false, "tok_ok\n": false, "tok_ok_capture": false,
		"tok_decline_refund": false, "tok_fail": false, "tok_fail_0": false, "tok_fail_10": false, "tok_fail_capture": false,
		"tok_hang_1": false, "tok_late_authorise": false, "4242424242424242": false,
	} {
		if err := request(token).Check(); (err == nil) != known {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// No text breaks the check, and a refusal never repeats the token.
func FuzzCheck(f *testing.F) {
	for _, token := range []string{"tok_ok", "tok_decline_capture", "tok_fail_void_9", "4242424242424242", "\xff\x00"} {
		f.Add("019aaf00-0000-7000-8000-000000000001", token, "card", int64(1), "EUR")
	}
	f.Fuzz(func(t *testing.T, order, token, method string, cents int64, currency string) {
		err := payments.Request{OrderID: order, Token: token, Method: method, AmountCents: cents, Currency: currency}.Check()
		if err == nil && (len(order) != 36 || cents < 0 || len(currency) != 3 || !strings.HasPrefix(token, "tok_")) {
			t.Errorf("let through: %q %q %q %d %q", order, token, method, cents, currency)
		}
		if err != nil && len(token) > 24 && strings.Contains(err.Error(), token) {
			t.Errorf("the token is in %q", err.Error())
		}
	})
}
