package orders

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/currency"
	"bookstore/services/shop/limits"
)

// Check reports every rule that a new order breaks, in one fault. It looks at
// what the branch that places it is given, not at status and version.
func (o Order) Check() error {
	var fields []fault.Field
	add := func(field, code, detail string) {
		fields = append(fields, fault.Field{Field: "order." + field, Code: code, Detail: detail})
	}
	if !IsID(o.ID) {
		add("id", "pattern", "must be a UUID")
	}
	if n := utf8.RuneCountInString(o.CustomerID); n < 1 || n > limits.CustomerID || strings.ContainsRune(o.CustomerID, 0) {
		add("customerId", "out_of_range", fmt.Sprintf("must be 1 to %d characters", limits.CustomerID))
	}
	if !currency.Payable(o.Currency) {
		add("currency", "unknown", "must be an active ISO 4217 code")
	}
	if o.CreatedAt.IsZero() {
		add("createdAt", "required", "")
	}
	if len(o.Items) < 1 || len(o.Items) > limits.OrderItems {
		add("items", "out_of_range", fmt.Sprintf("must be 1 to %d", limits.OrderItems))
	}
	for i, item := range o.Items {
		if detail := item.problem(); detail != "" {
			add(fmt.Sprintf("items[%d]", i), "invalid", detail)
		}
	}
	switch total, ok := o.sum(); {
	case !ok || total != o.TotalCents:
		add("totalCents", "mismatch", "must be the sum of the items")
	case total > limits.Total:
		add("totalCents", "out_of_range", fmt.Sprintf("must be 0 to %d", int64(limits.Total)))
	}
	if len(fields) > 0 {
		return fault.Invalid(fields...)
	}
	return nil
}

// problem says what is wrong with an item, "" when nothing is.
func (i Item) problem() string {
	switch {
	case i.BookID < 1:
		return "bookId must be positive"
	case i.Quantity < 1 || i.Quantity > limits.Quantity:
		return fmt.Sprintf("quantity must be 1 to %d", limits.Quantity)
	case i.UnitPriceCents < 0:
		return "unitPriceCents must not be negative"
	case i.Title == "" || utf8.RuneCountInString(i.Title) > limits.Title || strings.ContainsRune(i.Title, 0):
		return fmt.Sprintf("title must be 1 to %d characters", limits.Title)
	}
	return ""
}

// sum adds the items up; false when the total does not fit.
func (o Order) sum() (int64, bool) {
	var total int64
	for _, item := range o.Items {
		if item.Quantity < 0 || item.UnitPriceCents < 0 {
			return 0, false
		}
		if item.Quantity > 0 && item.UnitPriceCents > (math.MaxInt64-total)/item.Quantity {
			return 0, false
		}
		total += item.Quantity * item.UnitPriceCents
	}
	return total, true
}

// IsID reports whether text is an order's id in its one form.
func IsID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}
