package payments_test

import (
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

// holds says how much of a payment stands where in each state, in amounts.
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
