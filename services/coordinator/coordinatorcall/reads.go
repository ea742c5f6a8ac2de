package coordinatorcall

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"bookstore/services/coordinator"
	"bookstore/services/kit/call"
	"bookstore/services/kit/fault"
	"bookstore/services/kit/together"
)

// Quotes asks the books service for prices, for all who ask at the same moment
// in one call.
type Quotes struct {
	group *together.Group[[]int64, []coordinator.Quote]
}

var _ coordinator.Quoter = Quotes{}

// mostQuotes is how many books the service prices in one call.
const mostQuotes = 100

// NewQuotes makes the quoter behind client.
func NewQuotes(client *call.Client) Quotes {
	ask := func(ctx context.Context, orders [][]int64) ([][]coordinator.Quote, error) {
		ids := orders[0] // as it is: a refusal names its lines
		if len(orders) > 1 {
			ids = slices.Compact(slices.Sorted(slices.Values(slices.Concat(orders...))))
		}
		quotes, err := price(ctx, client, ids)
		if err != nil {
			return nil, err
		}
		out := make([][]coordinator.Quote, len(orders))
		for i, ids := range orders {
			for _, id := range ids {
				out[i] = append(out[i], quotes[id])
			}
		}
		return out, nil
	}
	// A book that cannot be sold is told to those alone who ask for it.
	return Quotes{together.New(ask, fault.Refused)}
}

// Quote implements coordinator.Quoter.
func (q Quotes) Quote(ctx context.Context, bookIDs []int64) ([]coordinator.Quote, error) {
	quotes, err := q.group.Do(ctx, bookIDs)
	if err != nil && ctx.Err() != nil {
		return nil, &fault.Error{Kind: fault.DeadlineExceeded, Message: "the books service did not answer in time", Err: err}
	}
	return quotes, err
}

func price(ctx context.Context, client *call.Client, bookIDs []int64) (map[int64]coordinator.Quote, error) {
	priced := make(map[int64]coordinator.Quote, len(bookIDs))
	for some := range slices.Chunk(bookIDs, mostQuotes) {
		in := struct {
			BookIDs []int64 `json:"bookIds"`
		}{some}
		var out struct {
			Quotes []coordinator.Quote `json:"quotes"`
		}
		if err := client.Do(ctx, http.MethodPost, "/internal/quotes", in, &out); err != nil {
			return nil, err
		}
		for _, quote := range out.Quotes {
			priced[quote.BookID] = quote
		}
	}
	return priced, nil
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
