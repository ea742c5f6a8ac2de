// Package checkout holds the shop's use cases that change more than one
// database: placing and cancelling an order are two-phase commits, checking out
// and returning are sagas. What drives them is in ../txn.
package checkout

import (
	"context"
	"errors"
	"time"

	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

// The kinds of transactions.
const (
	KindPlace  twophase.Kind = "place_order"
	KindCancel twophase.Kind = "cancel_order"
)

// The branches and the steps' participants, as they are called in gids, logs and
// the API.
const (
	BranchBooks    = "books"
	BranchOrders   = "orders"
	BranchPayments = "payments"
)

// Dependencies are what the service works with. Who made the engines starts and
// stops them.
type Dependencies struct {
	Transactions *twophase.Engine
	Sagas        *saga.Engine
	Quotes       Quoter
	Orders       OrderReader
	Clock        func() time.Time
	NewID        func() (string, error) // ids of orders: UUIDv7
}

// Quoter returns current prices. Unknown and withdrawn books are refused.
type Quoter interface {
	Quote(ctx context.Context, bookIDs []int64) ([]Quote, error)
}

// OrderReader reads orders, or kinds.OrderNotFound.
type OrderReader interface {
	Order(ctx context.Context, id string) (Order, error)
}

// Settings are how long sagas may take to their pivot.
type Settings struct {
	CheckoutTime time.Duration // from a checkout's beginning to the capture of its payment
	ApprovalTime time.Duration // the same where someone has to approve
	ReturnTime   time.Duration // from a return's beginning to its refund
}

// DefaultSettings are those of the design.
func DefaultSettings() Settings {
	return Settings{CheckoutTime: 15 * time.Minute, ApprovalTime: 7 * 24 * time.Hour, ReturnTime: 24 * time.Hour}
}

// Service places and cancels orders, and begins checkouts and returns.
type Service struct {
	Dependencies
	settings Settings
}

// New makes a service.
func New(d Dependencies, s Settings) (*Service, error) {
	if s.CheckoutTime <= 0 || s.ApprovalTime <= 0 || s.ReturnTime <= 0 {
		return nil, errors.New("check the settings of checkouts: a saga needs time")
	}
	return &Service{Dependencies: d, settings: s}, nil
}

// Result is a success, as it is answered.
type Result struct {
	Status   int
	Body     []byte
	Location string // "" has none
	Replayed bool   // set for refusals too, beside the error
}
