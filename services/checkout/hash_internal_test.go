package checkout

import (
	"encoding/hex"
	"testing"

	"bookstore/services/txn/twophase"
)

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
