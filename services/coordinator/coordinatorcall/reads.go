package coordinatorcall

import (
	"context"
	"net/http"
	"net/url"

	"bookstore/services/coordinator"
	"bookstore/services/kit/call"
	"bookstore/services/kit/fault"
)

// Quotes asks the books service for prices.
type Quotes struct{ client *call.Client }

var _ coordinator.Quoter = Quotes{}

// NewQuotes makes the quoter behind client.
func NewQuotes(client *call.Client) Quotes { return Quotes{client} }

// Quote implements coordinator.Quoter.
func (q Quotes) Quote(ctx context.Context, bookIDs []int64) ([]coordinator.Quote, error) {
	in := struct {
		BookIDs []int64 `json:"bookIds"`
	}{bookIDs}
	var out struct {
		Quotes []coordinator.Quote `json:"quotes"`
	}
	if err := q.client.Do(ctx, http.MethodPost, "/internal/quotes", in, &out); err != nil {
		return nil, err
	}
	return out.Quotes, nil
}

// Orders asks the orders service for orders.
type Orders struct{ client *call.Client }

var _ coordinator.OrderReader = Orders{}

// NewOrders makes the reader behind client.
func NewOrders(client *call.Client) Orders { return Orders{client} }

// Order implements coordinator.OrderReader.
func (o Orders) Order(ctx context.Context, id string) (coordinator.Order, error) {
	var order coordinator.Order
	if err := o.client.Do(ctx, http.MethodGet, "/orders/"+url.PathEscape(id), nil, &order); err != nil {
		return coordinator.Order{}, err
	}
	if order.ID != id {
		return coordinator.Order{}, fault.New(fault.OutcomeUnknown, "the orders service answered with another order")
	}
	return order, nil
}
