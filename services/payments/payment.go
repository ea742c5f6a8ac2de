// Package payments stands for an outside payment provider: it authorises money
// on test tokens and keeps a ledger in which the entries of each payment sum to
// zero.
package payments

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"bookstore/services/kit/fault"
)

// State is where a payment stands. Capture, void and refund go on from
// Authorised; Declined is final.
type State string

// The states.
const (
	Authorised State = "authorised"
	Declined   State = "declined"
)

// The test tokens.
const (
	TokenOK      = "tok_ok"      // authorised
	TokenDecline = "tok_decline" // declined
)

// Request asks for money. The same key with the same content is the same request.
type Request struct {
	Key         string // 1 to 128 visible ASCII characters
	Token       string
	AmountCents int64
	Currency    string // ISO 4217
}

// Payment is a request and what became of it.
type Payment struct {
	ID string // UUID version 7
	Request
	State     State
	CreatedAt time.Time
}

// Entry is one line of the ledger; Cents of all entries of a payment are 0 in sum.
type Entry struct {
	Account string
	Cents   int64
}

// Store keeps payments with their ledger.
type Store interface {
	// Authorise stores p with its entries, or returns what is stored under its key.
	Authorise(ctx context.Context, p Payment, entries []Entry) (Payment, error)
	// Get returns a payment, or NotFound.
	Get(ctx context.Context, id string) (Payment, error)
}

var (
	keyPattern      = regexp.MustCompile(`^[!-~]{1,128}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
)

// maxAmount is the most that one payment may ask for, in minor units.
const maxAmount = 1_000_000_000_000

// Check reports every rule that the request breaks.
func (r Request) Check() error {
	var fields []fault.Field
	add := func(field, code, detail string) {
		fields = append(fields, fault.Field{Field: field, Code: code, Detail: detail})
	}
	if !keyPattern.MatchString(r.Key) {
		add("key", "out_of_range", "must be 1 to 128 visible ASCII characters")
	}
	if r.Token != TokenOK && r.Token != TokenDecline {
		add("token", "unknown", "is not a token of this provider")
	}
	if r.AmountCents < 1 || r.AmountCents > maxAmount {
		add("amountCents", "out_of_range", fmt.Sprintf("must be 1 to %d", int64(maxAmount)))
	}
	if !currencyPattern.MatchString(r.Currency) {
		add("currency", "pattern", "must be an ISO 4217 code")
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return nil
}

// Decide is the provider's answer to a request and the entries that it makes:
// an authorisation holds the money on the customer's side.
func (r Request) Decide() (State, []Entry) {
	if r.Token == TokenDecline {
		return Declined, nil
	}
	return Authorised, []Entry{{"customer", -r.AmountCents}, {"held", r.AmountCents}}
}
