package bookspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/txn/participant"
)

// Branch is the books branch's part in distributed transactions: all lines, or a
// refusal that names every book that stands in the way. It takes one round trip
// when nothing does.
var Branch = participant.Change[books.Reservation]{
	Apply: func(ctx context.Context, tx pgx.Tx, gid string, r books.Reservation) error {
		return move(ctx, tx, ofBranch(gid), r)
	},
	Whole: func(batch *pgx.Batch, gid string, r books.Reservation) bool {
		r, err := r.Check()
		if err == nil {
			queue(batch, ofBranch(gid), r, allOrFail)
		}
		return err == nil
	},
}

func ofBranch(gid string) movementCause {
	return movementCause{reserve: "order", restock: "cancel", gid: &gid}
}
