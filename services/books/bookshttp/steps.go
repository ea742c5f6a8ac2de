package bookshttp

import (
	"context"
	"encoding/json"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/txn/step"
	"bookstore/services/txn/step/stephttp"
)

// Moves are the changes of stock that steps of sagas make in their transactions.
type Moves struct {
	Apply   func(ctx context.Context, tx pgx.Tx, k step.Key, r books.Reservation) error
	Release func(ctx context.Context, tx pgx.Tx, k step.Key) error // takes back what Apply reserved
}

// linesJSON is the payload of both steps. A unitPriceCents is the quoted price
// and means nothing to restock.
type linesJSON struct {
	OrderID string       `json:"orderId"`
	Lines   []books.Line `json:"lines"`
}

// Steps adds the calls by which the coordinator reaches the steps of sagas:
// reserve_stock, which can be undone, and restock, which cannot.
func Steps(app fiber.Router, p *step.Participant, m Moves) {
	apply := func(action books.Action) func(context.Context, pgx.Tx, step.Key, linesJSON) (any, error) {
		return func(ctx context.Context, tx pgx.Tx, k step.Key, l linesJSON) (any, error) {
			return nil, m.Apply(ctx, tx, k, books.Reservation{Action: action, OrderID: l.OrderID, Lines: l.Lines})
		}
	}
	stephttp.Route(app, p, stephttp.Step[linesJSON]{
		Name: "reserve_stock", Do: apply(books.Reserve),
		Undo: func(ctx context.Context, tx pgx.Tx, k step.Key, _ json.RawMessage) error {
			return m.Release(ctx, tx, k)
		},
	})
	stephttp.Route(app, p, stephttp.Step[linesJSON]{Name: "restock", Do: apply(books.Restock)})
}
