// Package payments stands for an outside payment provider: it authorises,
// captures, voids and refunds money, and keeps a ledger in which the entries of
// each payment sum to zero.
package payments

import (
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// State is the state of a payment.
//
//	          authorise              capture            refund
//	(nothing) ─────────► authorised ─────────► captured ────────► refunded
//	    │                    │
//	    │ declined           │ void
//	    ▼                    ▼
//	 declined              voided
//
// A void of a payment that holds no money, because it was declined or refunded, changes nothing.
type State string

// The states. Nothing is the state of a payment that does not exist.
const (
	Nothing    State = ""
	Authorised State = "authorised"
	Captured   State = "captured"
	Voided     State = "voided"
	Refunded   State = "refunded"
	Declined   State = "declined"
)

// Operation is what is done to a payment.
type Operation string

// The operations.
const (
	Authorise Operation = "authorise"
	Capture   Operation = "capture"
	Void      Operation = "void"
	Refund    Operation = "refund"
)

// next is the diagram above; what is not in it is refused.
var next = map[State]map[Operation]State{
	Nothing:    {Authorise: Authorised, Void: Nothing},
	Authorised: {Capture: Captured, Void: Voided},
	Captured:   {Refund: Refunded},
	Voided:     {Void: Voided},
	Refunded:   {Void: Refunded},
	Declined:   {Void: Declined},
}

// After is the state that op leads to, or the refusal.
func (s State) After(op Operation) (State, error) {
	if to, ok := next[s][op]; ok {
		return to, nil
	}
	return s, s.refusal(op)
}

func (s State) refusal(op Operation) error {
	switch {
	case op == Authorise:
		return fault.Invalid(fault.Field{Field: "orderId", Code: "duplicate", Detail: "the order has a payment already"})
	case op == Refund && s == Nothing:
		return fault.New(kinds.NotReturnable, "the order has no payment")
	case op == Refund:
		return fault.New(kinds.NotReturnable, "the payment is "+string(s))
	case s == Nothing:
		return fault.New(fault.Aborted, "the order has no payment of this saga")
	case s == Declined:
		return fault.New(kinds.PaymentDeclined, "the payment is declined")
	case s == Voided:
		return fault.New(fault.Aborted, "the payment is voided")
	default:
		return fault.New(kinds.AlreadyCaptured, "the payment is "+string(s))
	}
}

// Payment is a request and its state.
type Payment struct {
	ID  string // UUID version 7
	Key string // the saga that authorised it; the provider knows the payment by it
	Request
	State     State
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Call is the call to the provider that does op to p.
func (p Payment) Call(op Operation) Call {
	return Call{Key: p.Key, Operation: op, Token: p.Token, AmountCents: p.AmountCents, Currency: p.Currency}
}
