package checkout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/limits"
)

func request(items ...checkout.RequestItem) checkout.OrderRequest {
	return checkout.OrderRequest{CustomerID: "c-1", Items: items}
}

func item(book, quantity int64) checkout.RequestItem {
	return checkout.RequestItem{BookID: book, Quantity: quantity}
}

func TestValidateNamesTheField(t *testing.T) {
	full := make([]checkout.RequestItem, limits.OrderItems)
	for i := range full {
		full[i] = item(int64(i)+1, limits.Quantity)
	}
	customer := func(id string) checkout.OrderRequest {
		return checkout.OrderRequest{CustomerID: id, Items: full[:1]}
	}
	cases := []struct {
		name    string
		request checkout.OrderRequest
		want    []string // field:code
	}{
		{"everything at its limit", checkout.OrderRequest{CustomerID: strings.Repeat("ö", limits.CustomerID), Items: full}, nil},
		{"nothing", checkout.OrderRequest{}, []string{"customerId:required", "items:required"}},
		{"blank customer", customer("  "), []string{"customerId:required"}},
		{"customer of fillers", customer("\u3164\u2800"), []string{"customerId:required"}},
		{"customer of marks", customer("\u0301\ufe0f"), []string{"customerId:required"}},
		{"customer of no width", customer("\u200b"), []string{"customerId:required"}},
		{"customer in Hindi", customer("हिन्दी e\u0301"), nil},
		{"long customer", customer(strings.Repeat("x", limits.CustomerID+1)), []string{"customerId:too_long"}},
		{"control character", customer("a\tb"), []string{"customerId:invalid"}},
		{"direction override", customer("a\u202eb"), []string{"customerId:invalid"}},
		{"one item too many", request(append(slices.Clip(full), item(1000, 1))...), []string{"items:too_many"}},
		{"no copies", request(item(1, 0)), []string{"items[0].quantity:out_of_range"}},
		{"negative copies", request(item(1, 1), item(2, -1)), []string{"items[1].quantity:out_of_range"}},
		{"absurd copies", request(item(1, limits.Quantity+1)), []string{"items[0].quantity:out_of_range"}},
		{"no book", request(item(0, 1)), []string{"items[0].bookId:out_of_range"}},
		{"the same book twice", request(item(7, 1), item(8, 1), item(7, 2)), []string{"items[2].bookId:duplicate"}},
		{"everything at once", request(item(-1, 0), item(5, 1), item(5, 1001)), []string{
			"items[0].bookId:out_of_range", "items[0].quantity:out_of_range", "items[2].bookId:duplicate", "items[2].quantity:out_of_range"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.request.Validate()
			var got []string
			if err != nil {
				if kind := fault.KindOf(err); kind != fault.InvalidField {
					t.Fatalf("refused as %s", kind)
				}
				for _, f := range fault.As(err).Fields {
					got = append(got, f.Field+":"+f.Code)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
