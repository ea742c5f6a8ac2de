package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"bookstore/services/shop/limits"
)

// The document states the limits that the services keep, wherever a member of that name stands.
func TestLimitsAreTheServices(t *testing.T) {
	d := parse(t)
	stated := map[string]int{}
	walk("#", d.root, func(pointer string, object map[string]any) {
		schema, name, ok := strings.Cut(pointer, "/properties/")
		if !ok || !strings.HasPrefix(schema, "#/components/schemas/") {
			return
		}
		order := schema == "#/components/schemas/OrderItem" || schema == "#/components/schemas/OrderLine"
		var keyword string
		var want int64
		switch {
		case name == "customerId":
			keyword, want = "maxLength", limits.CustomerID
		case name == "title" && object["maxLength"] != nil:
			keyword, want = "maxLength", limits.Title
		case name == "quantity" && order:
			keyword, want = "maximum", limits.Quantity
		case name == "priceCents", name == "unitPriceCents" && schema == "#/components/schemas/OrderItem":
			keyword, want = "maximum", limits.Price
		case name == "totalCents":
			keyword, want = "maximum", limits.Total
		case name == "items" && !strings.HasSuffix(schema, "List"):
			keyword, want = "maxItems", limits.OrderItems
		default:
			return
		}
		stated[name]++
		if got := number(object[keyword]); got != want {
			t.Errorf("%s: %s is %d, and the services keep %d", pointer, keyword, got, want)
		}
	})
	for _, name := range []string{"customerId", "title", "quantity", "priceCents", "totalCents", "items"} {
		if stated[name] == 0 {
			t.Errorf("no %s is stated", name)
		}
	}
}

// number reads a keyword's value, -1 where there is none.
func number(value any) int64 {
	n, ok := value.(json.Number)
	if !ok {
		return -1
	}
	i, err := n.Int64()
	if err != nil {
		return -1
	}
	return i
}
