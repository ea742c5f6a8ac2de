package payments

import "context"

// Store reads payments. It always shows the newest committed state.
type Store interface {
	// Get returns a payment, or NotFound.
	Get(ctx context.Context, id string) (Payment, error)
	// OfOrder returns the payment of an order, or one in the state Nothing.
	OfOrder(ctx context.Context, orderID string) (Payment, error)
}
