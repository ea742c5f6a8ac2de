package bookspg_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// What the row in the outbox adds to an order of three books in one transaction.
func BenchmarkOrder(b *testing.B) {
	for _, triggers := range []string{"enable", "disable"} {
		b.Run("triggers="+triggers, func(b *testing.B) {
			ctx, pool := context.Background(), pgtest.Database(b, bookspg.Migrations)
			store := bookspg.New(pool)
			for n := range 300 {
				if _, err := store.Create(ctx, draft(n+1, 1_000_000)); err != nil {
					b.Fatal(err)
				}
			}
			for _, table := range []string{"books", "stock"} {
				if _, err := pool.Exec(ctx, "alter table "+table+" "+triggers+" trigger user"); err != nil {
					b.Fatal(err)
				}
			}
			for n := 0; b.Loop(); n++ {
				ids := []int64{int64(1 + n%100), int64(101 + n%100), int64(201 + n%100)}
				r := books.Reservation{Action: books.Reserve, OrderID: "o"}
				for _, id := range ids {
					r.Lines = append(r.Lines, line(id, 1, 100*id))
				}
				err := pg.InTx(ctx, pool, func(tx pgx.Tx) error { return bookspg.Branch.Apply(ctx, tx, fmt.Sprint("g", n), r) })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
