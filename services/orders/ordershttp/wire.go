package ordershttp

import (
	"time"

	"bookstore/services/orders"
)

// orderJSON is an order as the contract shows it.
type orderJSON struct {
	ID         string     `json:"id"`
	CustomerID string     `json:"customerId"`
	Status     string     `json:"status"`
	Items      []itemJSON `json:"items"`
	TotalCents int64      `json:"totalCents"`
	Currency   string     `json:"currency"`
	CreatedAt  time.Time  `json:"createdAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
	Version    int64      `json:"version"`
}

type itemJSON struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unitPriceCents"`
}

func show(o orders.Order) orderJSON {
	items := make([]itemJSON, 0, len(o.Items))
	for _, i := range o.Items {
		items = append(items, itemJSON(i))
	}
	return orderJSON{
		ID: o.ID, CustomerID: o.CustomerID, Status: string(o.Status), Items: items, TotalCents: o.TotalCents,
		Currency: o.Currency, CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, Version: o.Version,
	}
}
