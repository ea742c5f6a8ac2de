package kinds_test

import (
	"slices"
	"testing"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Every kind of the shop is a decision about the request; only a changed price
// may be met by a new attempt. Written down a second time: a slip in the table
// binds accidents to keys, or repeats refusals for ever.
func TestWhatEachKindMeansToTheCaller(t *testing.T) {
	shop := []fault.Kind{
		kinds.BookNotFound, kinds.OrderNotFound, kinds.OutOfStock, kinds.PriceChanged, kinds.AlreadyCaptured, kinds.NotCancellable,
		kinds.NotReturnable, kinds.PaymentDeclined, kinds.BookGone, kinds.MixedCurrencies, kinds.PriceNotMet, kinds.BookNotFoundInOrder,
	}
	all := fault.Kinds()
	for _, kind := range shop {
		if !slices.Contains(all, kind) || !fault.Decides(fault.New(kind, "")) {
			t.Errorf("%s does not decide", kind)
		}
		if got := kind.Retry() == fault.Anew; got != (kind == kinds.PriceChanged) {
			t.Errorf("%s is tried anew: %t", kind, got)
		}
		if kind == kinds.PriceNotMet { // never comes from another service
			continue
		}
		if got := fault.FromProblem(kind.Status(), kind.Code()); got != kind {
			t.Errorf("%s became %s on its way through a problem", kind, got)
		}
	}
	if last := all[len(all)-len(shop):]; !slices.Equal(sorted(last), sorted(shop)) {
		t.Errorf("the table has %v, this test %v", last, shop)
	}
}

func sorted(k []fault.Kind) []fault.Kind {
	k = slices.Clone(k)
	slices.Sort(k)
	return k
}
