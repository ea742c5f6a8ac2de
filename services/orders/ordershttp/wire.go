package ordershttp

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/txn/branch"
	"bookstore/services/txn/branch/branchhttp"
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

// changeJSON is the payload of the orders branch: {"action":"place","order":…}
// or {"action":"cancel","orderId":…,"at":…}.
type changeJSON struct {
	Action  string     `json:"action"`
	Order   placedJSON `json:"order"`
	OrderID string     `json:"orderId"`
	At      time.Time  `json:"at"`
}

type placedJSON struct {
	ID         string     `json:"id"`
	CustomerID string     `json:"customerId"`
	Items      []itemJSON `json:"items"`
	TotalCents int64      `json:"totalCents"`
	Currency   string     `json:"currency"`
	CreatedAt  time.Time  `json:"createdAt"`
}

func (o placedJSON) order() orders.Order {
	items := make([]orders.Item, 0, len(o.Items))
	for _, i := range o.Items {
		items = append(items, orders.Item(i))
	}
	return orders.Order{
		ID: o.ID, CustomerID: o.CustomerID, Items: items, TotalCents: o.TotalCents,
		Currency: o.Currency, CreatedAt: o.CreatedAt,
	}
}

func (c changeJSON) change() orders.Change {
	return orders.Change{Action: orders.Action(c.Action), Order: c.Order.order(), OrderID: c.OrderID, At: c.At}
}

// Branch adds the calls by which the coordinator reaches the orders branch.
func Branch(app fiber.Router, p *branch.Participant, change branch.Change[orders.Change]) {
	branchhttp.Routes(app, p, branch.Change[changeJSON]{
		Apply: func(ctx context.Context, conn *pgx.Conn, gid string, c changeJSON) error {
			return change.Apply(ctx, conn, gid, c.change())
		},
		Whole: func(b *pgx.Batch, gid string, c changeJSON) bool { return change.Whole(b, gid, c.change()) },
	})
}
