package orderspg

import (
	"context"

	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
)

// CreatePaid stores the order of a checkout.
func CreatePaid(ctx context.Context, tx pgx.Tx, o orders.Order) error {
	return place(ctx, tx.Conn(), o, orders.Paid)
}

// CancelPaid undoes CreatePaid. The order stays, as a cancelled one.
func CancelPaid(ctx context.Context, tx pgx.Tx, id string) error {
	return change{orders.Paid, orders.Cancelled, orders.NotCancellable}.apply(ctx, tx.Conn(), id, nil)
}

// Return takes a paid order back; of two returns it refuses the second.
func Return(ctx context.Context, tx pgx.Tx, id string) error {
	return change{orders.Paid, orders.Returned, orders.NotReturnable}.apply(ctx, tx.Conn(), id, nil)
}

// Unreturn undoes Return.
func Unreturn(ctx context.Context, tx pgx.Tx, id string) error {
	return change{orders.Returned, orders.Paid, orders.NotReturnable}.apply(ctx, tx.Conn(), id, nil)
}
