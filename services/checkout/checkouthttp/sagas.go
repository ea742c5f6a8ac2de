package checkouthttp

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/saga"
)

type checkoutRequest struct {
	CustomerID       string         `json:"customerId"`
	Items            []requestItem  `json:"items"`
	Payment          paymentRequest `json:"payment"`
	RequiresApproval bool           `json:"requiresApproval"`
}

type paymentRequest struct {
	Method string `json:"method"`
	Token  string `json:"token"`
}

func (r checkoutRequest) domain() checkout.Request {
	order := orderRequest{r.CustomerID, r.Items}.domain()
	return checkout.Request{
		CustomerID: order.CustomerID, Items: order.Items,
		Payment: checkout.Payment(r.Payment), RequiresApproval: r.RequiresApproval,
	}
}

func (a api) beginCheckout(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	key, err := requiredKey(c)
	if err != nil {
		return err
	}
	var request checkoutRequest
	if err := web.DecodeJSON(c, &request); err != nil {
		return err
	}
	result, err := a.service.BeginCheckout(web.Context(c), checkout.BeginCheckout{
		Caller: web.Caller(c), Key: key, Request: request.domain(),
	})
	return answer(c, result, err)
}

func (a api) beginReturn(c *fiber.Ctx) error {
	if err := web.AllowQuery(c); err != nil {
		return err
	}
	id, err := web.PathUUID(c, "id")
	if err != nil {
		return fault.New(kinds.OrderNotFound, "there is no such order")
	}
	key, err := requiredKey(c)
	if err != nil {
		return err
	}
	if err := emptyBody(c); err != nil {
		return err
	}
	result, err := a.service.BeginReturn(web.Context(c), checkout.BeginReturn{Caller: web.Caller(c), Key: key, OrderID: id})
	return answer(c, result, err)
}

// act is something that is done to a saga, and comes to the saga as it is then.
type act func(ctx context.Context, d saga.Definition, id string) (saga.Saga, error)

// sagaCall serves a call about one saga.
func sagaCall(d saga.Definition, do act) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := web.AllowQuery(c); err != nil {
			return err
		}
		id, err := sagaID(c, d)
		if err != nil {
			return err
		}
		if _, err := web.IdempotencyKey(c); err != nil { // accepted: these calls repeat harmlessly by themselves
			return err
		}
		if err := emptyBody(c); err != nil {
			return err
		}
		s, err := do(web.Context(c), d, id)
		if err != nil {
			return err
		}
		view, err := checkout.View(s)
		if err != nil {
			return err
		}
		return web.JSON(c, fiber.StatusOK, view)
	}
}

func sagaID(c *fiber.Ctx, d saga.Definition) (string, error) {
	id, err := web.PathUUID(c, "id")
	if err != nil {
		return "", fault.New(fault.NotFound, "there is no such "+d.Name)
	}
	return id, nil
}

// sagaEvent is an event of a saga's stream: its state, and what has become
// of the steps that changed.
type sagaEvent struct {
	saga.News

	At time.Time `json:"at"`
}

// newsEvery is how often a stream reads what is new.
const newsEvery = 250 * time.Millisecond

// followSaga streams what happens to a saga, from its beginning or from the
// event after the one that the client has seen.
func (a api) followSaga(d saga.Definition) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := web.AllowQuery(c); err != nil {
			return err
		}
		id, err := sagaID(c, d)
		if err != nil {
			return err
		}
		seen, err := web.LastEventID(c)
		if err != nil {
			return err
		}
		news, more, err := a.service.Sagas.News(web.Context(c), d, id, seen)
		if err != nil {
			return err
		}
		if len(news) == 0 && !more {
			return c.SendStatus(fiber.StatusNoContent)
		}
		return web.Events(c, func(ctx context.Context, send func(web.Event) error) error {
			return a.follow(ctx, d, id, seen, send)
		})
	}
}

func (a api) follow(ctx context.Context, d saga.Definition, id string, seen int64, send func(web.Event) error) error {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	for {
		news, more, err := a.service.Sagas.News(ctx, d, id, seen)
		if err != nil && !fault.Unknown(err) {
			return err
		}
		for _, n := range news {
			if err := send(web.Event{ID: n.Seq, Name: d.Name, Data: sagaEvent{n.News, n.At}}); err != nil {
				return err
			}
			seen = n.Seq
		}
		if err == nil && !more {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
