package checkout

import (
	"encoding/json"
	"math"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
	"bookstore/services/txn/twophase"
)

// The total is exact or the order is refused; it is never a wrapped number, and never more than a payment may be.
func TestTotalsNeverOverflow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "items")
		r, quotes, want := OrderRequest{CustomerID: "c"}, []Quote(nil), new(big.Int)
		for i := range n {
			price := rapid.OneOf(rapid.Int64Range(0, 10_000), rapid.Int64Range(limits.Total/2000, limits.Total), rapid.Int64Range(math.MaxInt64/2000, math.MaxInt64)).Draw(t, "price")
			quantity := rapid.Int64Range(1, limits.Quantity).Draw(t, "quantity")
			r.Items = append(r.Items, RequestItem{BookID: int64(i + 1), Quantity: quantity})
			quotes = append(quotes, Quote{BookID: int64(i + 1), UnitPriceCents: price, Currency: "EUR"})
			want.Add(want, new(big.Int).Mul(big.NewInt(price), big.NewInt(quantity)))
		}
		o, err := newOrder("id", r, quotes, time.Now())
		switch fits := want.Cmp(big.NewInt(limits.Total)) <= 0; {
		case fits && (err != nil || o.TotalCents != want.Int64()):
			t.Fatalf("got %d, %v; want %s", o.TotalCents, err, want)
		case !fits && fault.KindOf(err) != fault.InvalidField:
			t.Fatalf("%s is too much and came out as %d, %v", want, o.TotalCents, err)
		}
	})
}

func TestOrdersHaveOneCurrencyAndMicroseconds(t *testing.T) {
	r := OrderRequest{CustomerID: "c", Items: []RequestItem{{BookID: 1, Quantity: 2}, {BookID: 2, Quantity: 1}}}
	quotes := []Quote{{BookID: 2, Title: "B", UnitPriceCents: 500, Currency: "USD"}, {BookID: 1, Title: "A", UnitPriceCents: 100, Currency: "EUR"}}
	_, err := newOrder("id", r, quotes, time.Now())
	if fault.KindOf(err) != kinds.MixedCurrencies || fault.As(err).Fields[0].Field != "items[1].bookId" {
		t.Errorf("got %v", err)
	}
	quotes[0].Currency = "EUR"
	o, err := newOrder("id", r, quotes, time.Unix(1, 123456789))
	if err != nil || o.TotalCents != 700 || o.Items[0].Title != "A" || o.CreatedAt.Nanosecond() != 123456000 {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestABookWithoutAQuoteIsNotSold(t *testing.T) {
	r := OrderRequest{CustomerID: "c", Items: []RequestItem{{BookID: 1, Quantity: 1}}}
	if _, err := newOrder("id", r, nil, time.Now()); twophase.VoteOf(err) != twophase.Unsure {
		t.Errorf("got %v", err)
	}
}

// A refusal says of which books how many copies are left; who waits for one of them
// is told about that one.
func TestWhatARefusalSaysIsShort(t *testing.T) {
	refusal := fault.New(kinds.OutOfStock, "short")
	refusal.Details = map[string]any{"books": []map[string]any{{"bookId": 1, "available": 2}, {"bookId": 9, "available": 0}, {"bookId": 3}}}
	short := shortages(refusal)
	if len(short) != 2 || short[0].Resource != "1" || short[0].Left != 2 || short[1].Resource != "9" || short[1].Left != 0 {
		t.Fatalf("got %+v", short)
	}
	if text, err := json.Marshal(short[0].Refusal.Details); err != nil || string(text) != `{"books":[{"available":2,"bookId":1}]}` {
		t.Errorf("told %s, %v", text, err)
	}
	refusal.Kind = kinds.PriceChanged
	if short := shortages(refusal); short != nil {
		t.Errorf("got %+v", short)
	}
}
