// Package ordershttp speaks HTTP for orders: the reads of the contract's
// /orders part. Placing and cancelling is the coordinator's.
package ordershttp

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/orders"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/limits"
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
