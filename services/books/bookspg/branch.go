package bookspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/txn/branch"
)

// Branch is the books branch's part in distributed transactions.
var Branch = branch.Change[books.Reservation]{Apply: Apply, Whole: whole}

// Apply does the books branch's work in the transaction that conn is in: all
// lines, or a refusal that names every book that stands in the way. It takes
// one round trip when nothing does.
func Apply(ctx context.Context, conn *pgx.Conn, gid string, r books.Reservation) error {
	return move(ctx, conn, ofBranch(gid), r)
}

// whole is Apply for when nothing stands in the way.
func whole(batch *pgx.Batch, gid string, r books.Reservation) bool {
	r, err := r.Check()
	if err == nil {
		queue(batch, ofBranch(gid), r, allOrFail)
	}
	return err == nil
}

func ofBranch(gid string) movementCause {
	return movementCause{reserve: "order", restock: "cancel", gid: &gid}
}
