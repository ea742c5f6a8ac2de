package orders_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
)

func valid() orders.Order {
	return orders.Order{
		ID: "019aaf00-0000-7000-8000-000000000001", CustomerID: "c-1", Currency: "EUR", CreatedAt: time.Unix(0, 0),
		Items:      []orders.Item{{BookID: 1, Title: "Emma", Quantity: 2, UnitPriceCents: 999}, {BookID: 2, Title: "Walden", Quantity: 1}},
		TotalCents: 1998,
	}
}

func TestCheckNamesEachBrokenRule(t *testing.T) {
	if err := valid().Check(); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		change func(*orders.Order)
		field  string
	}{
		{"no id", func(o *orders.Order) { o.ID = "" }, "order.id"},
		{"id in another form", func(o *orders.Order) { o.ID = strings.ToUpper(o.ID) + " " }, "order.id"},
		{"no customer", func(o *orders.Order) { o.CustomerID = "" }, "order.customerId"},
		{"long customer", func(o *orders.Order) { o.CustomerID = strings.Repeat("ö", 129) }, "order.customerId"},
		{"NUL in customer", func(o *orders.Order) { o.CustomerID = "a\x00" }, "order.customerId"},
		{"currency", func(o *orders.Order) { o.Currency = "eur" }, "order.currency"},
		{"no time", func(o *orders.Order) { o.CreatedAt = time.Time{} }, "order.createdAt"},
		{"no items", func(o *orders.Order) { o.Items, o.TotalCents = nil, 0 }, "order.items"},
		{"too many items", func(o *orders.Order) {
			o.Items, o.TotalCents = make([]orders.Item, 101), 0
		}, "order.items"},
		{"zero quantity", func(o *orders.Order) { o.Items[1].Quantity = 0 }, "order.items[1]"},
		{"negative price", func(o *orders.Order) { o.Items[1].UnitPriceCents = -1 }, "order.items[1]"},
		{"too many copies", func(o *orders.Order) { o.Items[1].Quantity = 1001 }, "order.items[1]"},
		{"more than can be paid", func(o *orders.Order) {
			o.Items[0] = orders.Item{BookID: 1, Title: "Emma", Quantity: 1, UnitPriceCents: 1_000_000_000_001}
			o.TotalCents = 1_000_000_000_001
		}, "order.totalCents"},
		{"no title", func(o *orders.Order) { o.Items[1].Title = "" }, "order.items[1]"},
		{"no book", func(o *orders.Order) { o.Items[1].BookID = 0 }, "order.items[1]"},
		{"wrong total", func(o *orders.Order) { o.TotalCents++ }, "order.totalCents"},
		{"overflow", func(o *orders.Order) { o.Items[0].UnitPriceCents = math.MaxInt64 }, "order.totalCents"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := valid()
			c.change(&o)
			err := fault.As(o.Check())
			if err == nil || err.Kind != fault.InvalidField {
				t.Fatalf("got %v", err)
			}
			for _, f := range err.Fields {
				if f.Field == c.field {
					return
				}
			}
			t.Errorf("%s is not named in %v", c.field, err.Fields)
		})
	}
}

func TestStatuses(t *testing.T) {
	for _, s := range []orders.Status{orders.Placed, orders.Paid, orders.Cancelled, orders.Returned} {
		if !s.Known() {
			t.Errorf("%s is unknown", s)
		}
	}
	if orders.Status("lost").Known() || orders.Status("").Known() {
		t.Error("a status that does not exist is known")
	}
}
