package checkout

import (
	"encoding/hex"
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

// A refusal says how many copies of which books are left. A request that waits for one of
// them is refused with that one alone.
func TestShortagesAreReadFromARefusal(t *testing.T) {
	refusal := fault.New(kinds.OutOfStock, "short")
	refusal.Details = map[string]any{"books": []map[string]any{{"bookId": 1, "available": 2}, {"bookId": 9, "available": 0}, {"bookId": 3}}}
	short := shortages(refusal)
	if len(short) != 2 || short[0].Resource != "1" || short[0].Left != 2 || short[1].Resource != "9" || short[1].Left != 0 {
		t.Fatalf("got %+v", short)
	}
	if text, err := json.Marshal(short[0].Refusal.Details); err != nil || string(text) != `{"books":[{"available":2,"bookId":1}]}` {
		t.Errorf("refused with %s, %v", text, err)
	}
	refusal.Kind = kinds.PriceChanged
	if short := shortages(refusal); short != nil {
		t.Errorf("got %+v", short)
	}
}

// The hashes of bodies that customers send, as they are stored with their keys.
// If one of them changes, every request repeated during an update of the
// coordinators is answered idempotency_key_reused.
func TestTheHashOfARequestStaysWhatItIs(t *testing.T) {
	price := int64(1843)
	items := []RequestItem{{BookID: 1, Quantity: 2}, {BookID: 9007199254740993, Quantity: 1000}}
	for name, c := range map[string]struct {
		kind    twophase.Kind
		request any
		want    string
	}{
		"order":          {KindPlace, OrderRequest{CustomerID: "ada <ü>", Items: items}, "f60f49c01c6179a078ae63b5cbfe3984193158891d4dd8cdc1b5dbd124087bf0"},
		"order at price": {KindPlace, OrderRequest{CustomerID: "ada", Items: []RequestItem{{BookID: 1, Quantity: 2, UnitPriceCents: &price}}}, "2f882bb68961db52c75b17fb45a8fc5d6bc35a0d07452638c9faafe4328eeb7f"},
		"free order":     {KindPlace, OrderRequest{CustomerID: "ada", Items: []RequestItem{{BookID: 1, Quantity: 2, UnitPriceCents: new(int64)}}}, "ca89a2828ee3f4142a31721ef49948150c6ee0763ce259d6f05a6e6e1ced387f"},
		"checkout":       {"checkout", Request{CustomerID: "ada", Items: items, Payment: Payment{Method: "card", Token: "tok_ok"}}, "35e0968dc57209a13f01f369cf375372f97aaf23d7696baa0619ac60979f3f80"},
		"approved":       {"checkout", Request{CustomerID: "ada", Items: items, Payment: Payment{Method: "card", Token: "tok_ok"}, RequiresApproval: true}, "29d30bf70ff7a77d2e8b8cd8d3fecc01c4eef5deb5d7ad2c5428e6068691b0e4"},
		"cancel":         {KindCancel, "0199f3a4-7c1e-7d2a-9b3f-2f4d5a6b7c8d", "4ac5682b103b6fece660275023cd6a6e5e9c7282daf7ec61dcb1cebaa195d92b"},
		"return":         {"return", "0199f3a4-7c1e-7d2a-9b3f-2f4d5a6b7c8d", "15c9824773dc1b966569939fac9aa11d58d9a4d67257b5c1c57c1bd22bc76a9c"},
	} {
		if got := hex.EncodeToString(twophase.HashRequest(c.kind, c.request)); got != c.want {
			t.Errorf("%s: the hash is %s, was %s", name, got, c.want)
		}
	}
}
