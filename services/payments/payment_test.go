package payments_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"bookstore/services/payments"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

var (
	states = []payments.State{
		payments.Nothing, payments.Authorised, payments.Captured, payments.Voided, payments.Refunded, payments.Declined,
	}
	operations = []payments.Operation{payments.Authorise, payments.Capture, payments.Void, payments.Refund}
)

func TestEveryStateAndOperation(t *testing.T) {
	type outcome struct {
		state   payments.State
		refusal fault.Kind
	}
	stays := func(kind fault.Kind) outcome { return outcome{refusal: kind} }
	table := map[payments.State][4]outcome{ // authorise, capture, void, refund
		payments.Nothing:    {{state: payments.Authorised}, stays(fault.Aborted), {state: payments.Nothing}, stays(kinds.NotReturnable)},
		payments.Authorised: {stays(fault.InvalidField), {state: payments.Captured}, {state: payments.Voided}, stays(kinds.NotReturnable)},
		payments.Captured:   {stays(fault.InvalidField), stays(kinds.AlreadyCaptured), stays(kinds.AlreadyCaptured), {state: payments.Refunded}},
		payments.Voided:     {stays(fault.InvalidField), stays(fault.Aborted), {state: payments.Voided}, stays(kinds.NotReturnable)},
		payments.Refunded:   {stays(fault.InvalidField), stays(kinds.AlreadyCaptured), {state: payments.Refunded}, stays(kinds.NotReturnable)},
		payments.Declined:   {stays(fault.InvalidField), stays(kinds.PaymentDeclined), {state: payments.Declined}, stays(kinds.NotReturnable)},
	}
	for _, from := range states {
		for i, op := range operations {
			want := table[from][i]
			to, err := from.After(op)
			switch {
			case want.refusal == "" && (err != nil || to != want.state):
				t.Errorf("%s of %q: got %q, %v", op, from, to, err)
			case want.refusal != "" && (fault.KindOf(err) != want.refusal || to != from || !fault.Refused(err)):
				t.Errorf("%s of %q: got %q, %v, want %s", op, from, to, err, want.refusal)
			}
		}
	}
}

// holds is the balance of each account in each state, in multiples of the amount.
var holds = map[payments.State]map[payments.Account]int64{
	payments.Authorised: {payments.Customer: -1, payments.Held: 1},
	payments.Captured:   {payments.Customer: -1, payments.Merchant: 1},
}

func TestTheLedgerFollowsTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Range(0, 1_000_000_000_000).Draw(t, "cents")
		state, ledger := payments.Nothing, map[payments.Account]int64{}
		for _, op := range rapid.SliceOf(rapid.SampledFrom(operations)).Draw(t, "operations") {
			to, err := state.After(op)
			if err != nil || to == state {
				continue
			}
			for _, e := range payments.Entries(op, cents) {
				ledger[e.Account] += e.Cents
			}
			state = to
			for _, account := range []payments.Account{payments.Customer, payments.Held, payments.Merchant} {
				if want := holds[state][account] * cents; ledger[account] != want {
					t.Fatalf("%s after %s: %d, want %d", account, op, ledger[account], want)
				}
			}
		}
	})
}

func TestTheEntriesOfAnOperationSumToZero(t *testing.T) {
	for _, op := range operations {
		if e := payments.Entries(op, 7); len(e) != 2 || e[0].Cents != -7 || e[0].Cents+e[1].Cents != 0 || e[0].Account == e[1].Account {
			t.Errorf("%s: %v", op, e)
		}
		if e := payments.Entries(op, 0); len(e) != 0 {
			t.Errorf("%s of nothing: %v", op, e)
		}
	}
}

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
