package checkouthttp

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"bookstore/services/checkout"
	"bookstore/services/platform/batch"
	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/limits"
)

// Quotes asks the books service for prices, for all requests of the same moment
// in one call.
type Quotes struct {
	client *call.Client
	group  *batch.Group[[]int64, quoted]
	alone  chan struct{} // holds one for each order that is priced alone
}

var _ checkout.Quoter = Quotes{}

// quoted is the answer for one order out of many.
type quoted struct {
	quotes []checkout.Quote
	refuse bool // one of its books cannot be sold
}

const (
	// mostQuotes is how many books the service prices in one call.
	mostQuotes = limits.OrderItems
	// mostAlone is how many orders are priced alone at once.
	mostAlone = 8
	// quoteRounds is how often those books are left out that cannot be sold: the
	// service names those that never were first, then those that are gone.
	quoteRounds = 3
)

// NewQuotes makes the quoter behind client.
func NewQuotes(client *call.Client) Quotes {
	ask := func(ctx context.Context, orders [][]int64) ([]quoted, error) { return quoteAll(ctx, client, orders) }
	return Quotes{client, batch.New(ask, fault.Refused), make(chan struct{}, mostAlone)}
}

// quoteAll prices many orders. A book that cannot be sold is left out: the
// orders that name it are priced one by one, by their own requests.
func quoteAll(ctx context.Context, client *call.Client, orders [][]int64) ([]quoted, error) {
	ids := orders[0] // as it is: a refusal names its lines
	if len(orders) > 1 {
		ids = slices.Compact(slices.Sorted(slices.Values(slices.Concat(orders...))))
	}
	quotes, err := price(ctx, client, ids)
	for range quoteRounds {
		bad := refusedBooks(err)
		if len(orders) == 1 || len(bad) == 0 {
			break
		}
		ids = slices.DeleteFunc(ids, func(id int64) bool { return slices.Contains(bad, id) })
		quotes, err = price(ctx, client, ids)
	}
	if err != nil {
		return nil, err
	}
	out := make([]quoted, len(orders))
	for i, ids := range orders {
		for _, id := range ids {
			quote, ok := quotes[id]
			out[i].quotes = append(out[i].quotes, quote)
			out[i].refuse = out[i].refuse || !ok
		}
	}
	return out, nil
}

// refusedBooks are those that a refusal names.
func refusedBooks(err error) (ids []int64) {
	if !fault.Refused(err) {
		return nil
	}
	var said struct {
		Books []struct {
			BookID int64 `json:"bookId"`
		} `json:"books"`
	}
	text, err := json.Marshal(fault.As(err).Details)
	if err != nil || json.Unmarshal(text, &said) != nil {
		return nil
	}
	for _, b := range said.Books {
		ids = append(ids, b.BookID)
	}
	return ids
}

// Quote implements checkout.Quoter.
func (q Quotes) Quote(ctx context.Context, bookIDs []int64) ([]checkout.Quote, error) {
	got, err := q.group.Do(ctx, bookIDs)
	if err == nil && got.refuse {
		got.quotes, err = q.quoteAlone(ctx, bookIDs)
	}
	if err != nil && ctx.Err() != nil {
		return nil, &fault.Error{Kind: fault.DeadlineExceeded, Message: "the books service did not answer in time", Err: err}
	}
	return got.quotes, err
}

// quoteAlone gets the refusal of an order in its own words, or its prices if its
// books can be sold by then.
func (q Quotes) quoteAlone(ctx context.Context, bookIDs []int64) ([]checkout.Quote, error) {
	select {
	case q.alone <- struct{}{}:
		defer func() { <-q.alone }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	got, err := quoteAll(ctx, q.client, [][]int64{bookIDs})
	if err != nil {
		return nil, err
	}
	return got[0].quotes, nil
}

func price(ctx context.Context, client *call.Client, bookIDs []int64) (map[int64]checkout.Quote, error) {
	priced := make(map[int64]checkout.Quote, len(bookIDs))
	for some := range slices.Chunk(bookIDs, mostQuotes) {
		in := struct {
			BookIDs []int64 `json:"bookIds"`
		}{some}
		var out struct {
			Quotes []checkout.Quote `json:"quotes"`
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

// Orders reads orders at the orders service.
type Orders struct{ client *call.Client }

var _ checkout.OrderReader = Orders{}

// NewOrders makes the reader behind client.
func NewOrders(client *call.Client) Orders { return Orders{client} }

// Order implements checkout.OrderReader.
func (o Orders) Order(ctx context.Context, id string) (checkout.Order, error) {
	var order checkout.Order
	if err := o.client.Do(ctx, http.MethodGet, "/orders/"+url.PathEscape(id), nil, &order); err != nil {
		return checkout.Order{}, err
	}
	if order.ID != id {
		return checkout.Order{}, fault.New(fault.OutcomeUnknown, "the orders service answered with another order")
	}
	return order, nil
}
