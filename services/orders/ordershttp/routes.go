// Package ordershttp serves orders over HTTP: reads to clients, and to the coordinator the branch and the steps by which it
// creates and changes orders.
package ordershttp

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/limits"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

type handler struct{ store orders.Store }

// Routes adds GET /orders and GET /orders/{id}.
func Routes(app fiber.Router, store orders.Store) {
	h := handler{store}
	app.Get("/orders", web.AcceptJSON, h.list)
	app.Get("/orders/:id", web.AcceptJSON, h.get)
}

func (h handler) get(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	id, err := web.PathUUID(c, "id")
	if err != nil {
		return orders.NotFound()
	}
	order, err := h.store.Get(web.Context(c), id)
	if err != nil {
		return err
	}
	return web.JSON(c, http.StatusOK, show(order))
}

func (h handler) list(c *fiber.Ctx) error {
	filter, err := readFilter(c)
	if err != nil {
		return err
	}
	found, next, err := h.store.List(web.Context(c), filter)
	if err != nil {
		return err
	}
	list := web.List[orderJSON]{Items: make([]orderJSON, 0, len(found))}
	for _, o := range found {
		list.Items = append(list.Items, show(o))
	}
	if next != nil {
		list.NextCursor = web.EncodeCursor(next)
	}
	return web.JSON(c, http.StatusOK, list)
}

func readFilter(c *fiber.Ctx) (f orders.Filter, err error) {
	if err = web.AllowQuery(c, "customerId", "status", "limit", "cursor"); err != nil {
		return f, err
	}
	if f.CustomerID, err = web.Query(c, "customerId", limits.CustomerID); err != nil {
		return f, err
	}
	if f.Status = orders.Status(c.Query("status")); f.Status != "" && !f.Status.Known() {
		return f, fault.Invalid(fault.Field{
			Field: "status", Code: "unknown", Detail: "must be placed, paid, cancelled or returned",
		})
	}
	f.Token = c.Get(web.HeaderConsistency)
	var cursor string
	if f.Limit, cursor, err = web.Page(c); err != nil || cursor == "" {
		return f, err
	}
	f.After = &orders.Cursor{}
	if err := web.DecodeCursor(cursor, f.After); err != nil {
		return f, err
	}
	if !orders.IsID(f.After.ID) || f.After.CreatedAt.Year() < 1 || f.After.CreatedAt.Year() > 9999 {
		return f, web.BadCursor()
	}
	return f, nil
}

// orderJSON is an order in the API.
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

// Changes are what the coordinator's calls do to orders.
type Changes struct {
	Branch       participant.Change[orders.Change]
	CreateOrder  participant.Step[orders.Order]
	MarkReturned participant.Step[string] // of an order's id
}

// changeJSON is the payload of the orders branch: {"action":"place","order":…} or {"action":"cancel","orderId":…,"at":…}.
type changeJSON struct {
	Action  string     `json:"action"`
	Order   placedJSON `json:"order"`
	OrderID string     `json:"orderId"`
	At      time.Time  `json:"at"`
}

// placedJSON is a new order.
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

// Participate adds the coordinator's calls of the orders branch, and of the steps create_order and mark_returned.
func Participate(app fiber.Router, p *participant.Participant, c Changes) {
	participanthttp.Branch(app, p, c.Branch, changeJSON.change)
	participanthttp.Step(app, "create_order", c.CreateOrder.Handler(p), func(b createJSON) orders.Order { return b.Order.order() })
	participanthttp.Step(app, "mark_returned", c.MarkReturned.Handler(p), func(b returnJSON) string { return b.OrderID })
}
