package payments

import (
	"fmt"
	"regexp"

	"github.com/google/uuid"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/currency"
	"bookstore/services/shop/limits"
)

// Request asks for a payment.
type Request struct {
	OrderID     string // UUID in its canonical form; an order has one payment
	Token       string // stands for the customer's means of payment; never shown or logged
	Method      string // such as card
	AmountCents int64  // may be 0: an order of free books
	Currency    string // ISO 4217
}

var methodPattern = regexp.MustCompile(`^[a-z][a-z_]{0,31}$`)

// Check reports every rule that the request breaks. It never repeats the token.
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

// IsOrderID reports whether text is an order's id in its one form.
func IsOrderID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}
