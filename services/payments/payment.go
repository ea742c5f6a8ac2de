// Package payments stands in for an outside payment provider: it authorises, captures, voids and refunds money, and keeps
// a ledger in which the entries of each payment sum to zero.
package payments

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/currency"
	"bookstore/services/shop/kinds"
	"bookstore/services/shop/limits"
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

// next is the diagram above. An operation that it does not have is refused.
var next = map[State]map[Operation]State{
	Nothing:    {Authorise: Authorised, Void: Nothing},
	Authorised: {Capture: Captured, Void: Voided},
	Captured:   {Refund: Refunded},
	Voided:     {Void: Voided},
	Refunded:   {Void: Refunded},
	Declined:   {Void: Declined},
}

// After returns the state that op leads to, or a fault that refuses op in this state.
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

// Payment is a request with its state.
type Payment struct {
	ID  string // UUID version 7
	Key string // id of the saga that authorised it; identifies the payment to the provider
	Request
	State     State
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Call returns the call that makes the provider do op to p.
func (p Payment) Call(op Operation) Call {
	return Call{Key: p.Key, Operation: op, Token: p.Token, AmountCents: p.AmountCents, Currency: p.Currency}
}

// Request is a request for a payment.
type Request struct {
	OrderID     string // UUID in its canonical form; an order has one payment
	Token       string // of the customer's means of payment; never shown or logged
	Method      string // such as card
	AmountCents int64  // may be 0: an order of free books
	Currency    string // ISO 4217
}

var methodPattern = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)

// Check returns a fault that names every invalid field. The fault never contains the token.
func (r Request) Check() error {
	var fields []fault.Field
	add := func(field, code, detail string) {
		fields = append(fields, fault.Field{Field: field, Code: code, Detail: detail})
	}
	if !IsOrderID(r.OrderID) {
		add("orderId", "pattern", "must be a UUID")
	}
	if _, ok := parse(r.Token); !ok {
		add("token", "unknown", "is not a token of this provider")
	}
	if !methodPattern.MatchString(r.Method) {
		add("method", "pattern", "must be 1 to 32 lower-case letters")
	}
	if r.AmountCents < 0 || r.AmountCents > limits.Total {
		add("amountCents", "out_of_range", fmt.Sprintf("must be 0 to %d", int64(limits.Total)))
	}
	if !currency.Payable(r.Currency) {
		add("currency", "unknown", "must be an active ISO 4217 code")
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return nil
}

// IsOrderID reports whether text is a UUID in its canonical form.
func IsOrderID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

// Account is an account of the ledger.
type Account string

// The accounts. A completed sale moves money from Customer to Merchant.
const (
	Customer Account = "customer"
	Held     Account = "held" // authorised and not captured
	Merchant Account = "merchant"
)

// Entry is one line of the ledger, in minor units of the payment's currency.
type Entry struct {
	Account Account
	Cents   int64
}

// moves maps each operation to the account that it debits and the one that it credits.
var moves = map[Operation]struct{ from, to Account }{
	Authorise: {Customer, Held},
	Capture:   {Held, Merchant},
	Void:      {Held, Customer},
	Refund:    {Merchant, Customer},
}

// Entries returns the lines that op adds to the ledger: two that sum to zero, or none when cents is 0.
func Entries(op Operation, cents int64) []Entry {
	if cents == 0 {
		return nil
	}
	m := moves[op]
	return []Entry{{m.from, -cents}, {m.to, cents}}
}

// Store reads payments, always their newest committed state.
type Store interface {
	// Get returns a payment. fault.NotFound when there is none.
	Get(ctx context.Context, id string) (Payment, error)
	// OfOrder returns the payment of an order, or one in the state Nothing.
	OfOrder(ctx context.Context, orderID string) (Payment, error)
}
