package bookspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
)

// Apply does the books branch's work in the transaction that conn is in: all
// lines, or a refusal that names every book that stands in the way. It takes
// one round trip when nothing does.
func Apply(ctx context.Context, conn *pgx.Conn, gid string, r books.Reservation) error {
	return move(ctx, conn, origin{reserve: "order", restock: "cancel", gid: &gid}, r)
}
