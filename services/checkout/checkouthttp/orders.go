package checkouthttp

import (
	"github.com/gofiber/fiber/v2"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
)

// headerReplayed marks the answer to a request that was answered before.
const headerReplayed = "Idempotent-Replayed"

type orderRequest struct {
	CustomerID string        `json:"customerId"`
	Items      []requestItem `json:"items"`
}

type requestItem struct {
	BookID         int64  `json:"bookId"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents *int64 `json:"unitPriceCents"`
}

func (r orderRequest) domain() checkout.OrderRequest {
	out := checkout.OrderRequest{CustomerID: r.CustomerID}
	for _, item := range r.Items {
		out.Items = append(out.Items, checkout.RequestItem(item))
	}
	return out
}

func (a api) placeOrder(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	key, err := requiredKey(c)
	if err != nil {
		return err
	}
	var request orderRequest
	if err := web.DecodeJSON(c, &request); err != nil {
		return err
	}
	result, err := a.service.PlaceOrder(web.Context(c), checkout.PlaceOrder{
		Caller: web.Caller(c), Key: key, Request: request.domain(),
	})
	return answer(c, result, err)
}

func requiredKey(c *fiber.Ctx) (string, error) {
	key, err := web.IdempotencyKey(c)
	if err == nil && key == "" {
		err = fault.New(fault.IdempotencyKeyRequired, "send an Idempotency-Key of your own with each request")
	}
	return key, err
}

func (a api) cancelOrder(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	id, err := web.PathUUID(c, "id")
	if err != nil {
		return fault.New(kinds.OrderNotFound, "there is no such order")
	}
	key, err := web.IdempotencyKey(c)
	if err != nil {
		return err
	}
	if err := emptyBody(c); err != nil {
		return err
	}
	result, err := a.service.CancelOrder(web.Context(c), checkout.CancelOrder{
		Caller: web.Caller(c), Key: key, OrderID: id,
	})
	return answer(c, result, err)
}

// emptyBody refuses a body that says anything: a cancel has nothing to say.
func emptyBody(c *fiber.Ctx) error {
	if body, err := web.Body(c, 0); err != nil || len(body) == 0 {
		return err
	}
	return web.DecodeJSON(c, &struct{}{})
}

// answer sends what the request came to. A replay is sent as it was, but for
// the id of this request.
func answer(c *fiber.Ctx, r checkout.Result, err error) error {
	if r.Replayed {
		c.Set(headerReplayed, "true")
	}
	if err != nil {
		return err
	}
	if r.Location != "" {
		c.Location(r.Location)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(r.Status).Send(r.Body)
}
