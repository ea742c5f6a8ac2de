package ordershttp

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/orders"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// Changes are what the coordinator's calls do to orders.
type Changes struct {
	Branch       participant.Change[orders.Change]
	CreateOrder  participant.Step[orders.Order]
	MarkReturned participant.Step[string] // of an order's id
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

// createJSON is the payload of create_order.
type createJSON struct {
	Order placedJSON `json:"order"`
}

// returnJSON is the payload of mark_returned.
type returnJSON struct {
	OrderID string `json:"orderId"`
}

// Participate adds the calls by which the coordinator reaches the orders branch,
// and the steps create_order and mark_returned.
func Participate(app fiber.Router, p *participant.Participant, c Changes) {
	participanthttp.Branch(app, p, c.Branch, changeJSON.change)
	participanthttp.Step(app, "create_order", c.CreateOrder.Handler(p), func(b createJSON) orders.Order { return b.Order.order() })
	participanthttp.Step(app, "mark_returned", c.MarkReturned.Handler(p), func(b returnJSON) string { return b.OrderID })
}
