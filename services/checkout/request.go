package checkout

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/limits"
	"bookstore/services/shop/text"
	"bookstore/services/txn/twophase"
)

// OrderRequest is what a customer asks for.
type OrderRequest struct {
	CustomerID string        `json:"customerId"`
	Items      []RequestItem `json:"items"`
}

// RequestItem is one book of an order request.
type RequestItem struct {
	BookID   int64 `json:"bookId"`
	Quantity int64 `json:"quantity"`
	// UnitPriceCents is the price that the customer was shown; nil accepts any.
	UnitPriceCents *int64 `json:"unitPriceCents,omitempty"`
}

// Validate reports every problem of the request at once, each with the field
// it is in (such as items[1].bookId), as fault.InvalidField.
func (r OrderRequest) Validate() error {
	problems := customerProblems(r.CustomerID)
	switch n := len(r.Items); {
	case n == 0:
		problems = append(problems, problem("items", "required", "an order has at least one item"))
	case n > limits.OrderItems:
		problems = append(problems, problem("items", "too_many", "an order has at most %d items, this one has %d", limits.OrderItems, n))
	default:
		problems = append(problems, itemProblems(r.Items)...)
	}
	if len(problems) > 0 {
		return fault.Invalid(problems...)
	}
	return nil
}

func customerProblems(id string) []fault.Field {
	const field = "customerId"
	switch {
	case !text.Visible(id):
		return []fault.Field{problem(field, "required", "say whose order this is")}
	case utf8.RuneCountInString(id) > limits.CustomerID:
		return []fault.Field{problem(field, "too_long", "at most %d characters", limits.CustomerID)}
	case strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }):
		return []fault.Field{problem(field, "invalid", "printable characters only")}
	}
	return nil
}

func itemProblems(items []RequestItem) []fault.Field {
	var problems []fault.Field
	seen := make(map[int64]int, len(items))
	for i, item := range items {
		bookField := fmt.Sprintf("items[%d].bookId", i)
		before, repeated := seen[item.BookID]
		switch {
		case item.BookID < 1:
			problems = append(problems, problem(bookField, "out_of_range", "a book's id is a positive number"))
		case repeated:
			problems = append(problems, problem(bookField, "duplicate", "the same book as items[%d]: add up the quantities", before))
		default:
			seen[item.BookID] = i
		}
		if item.Quantity < 1 || item.Quantity > limits.Quantity {
			problems = append(problems, problem(fmt.Sprintf("items[%d].quantity", i), "out_of_range", "from 1 to %d", limits.Quantity))
		}
		if price := item.UnitPriceCents; price != nil && (*price < 0 || *price > limits.Price) {
			problems = append(problems, problem(fmt.Sprintf("items[%d].unitPriceCents", i), "out_of_range", "from 0 to %d", limits.Price))
		}
	}
	return problems
}

func problem(field, code, detail string, args ...any) fault.Field {
	return fault.Field{Field: field, Code: code, Detail: fmt.Sprintf(detail, args...)}
}

func (r OrderRequest) bookIDs() []int64 {
	ids := make([]int64, len(r.Items))
	for i, item := range r.Items {
		ids[i] = item.BookID
	}
	return ids
}

func (r OrderRequest) wants() []twophase.Want {
	wants := make([]twophase.Want, len(r.Items))
	for i, item := range r.Items {
		wants[i] = twophase.Want{Resource: resource(item.BookID), Amount: item.Quantity}
	}
	return wants
}

// Request is an order that is paid for.
type Request struct {
	CustomerID       string        `json:"customerId"`
	Items            []RequestItem `json:"items"`
	Payment          Payment       `json:"payment"`
	RequiresApproval bool          `json:"requiresApproval"`
}

// Payment says how a checkout is paid for.
type Payment struct {
	Method string `json:"method"`
	Token  string `json:"token"` // of the payment provider, never a card's number
}

// methodCard is the one method of payment that the provider knows.
const methodCard = "card"

var tokenPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (r Request) order() OrderRequest { return OrderRequest{r.CustomerID, r.Items} }

// Validate reports every problem of the request at once, as fault.InvalidField.
func (r Request) Validate() error {
	var problems []fault.Field
	if err := r.order().Validate(); err != nil {
		problems = fault.As(err).Fields
	}
	if r.Payment.Method != methodCard {
		problems = append(problems, problem("payment.method", "unknown", "must be %q", methodCard))
	}
	if !tokenPattern.MatchString(r.Payment.Token) {
		problems = append(problems, problem("payment.token", "invalid", "a token of the payment provider: letters, digits, _ and -, at most 128"))
	}
	if len(problems) > 0 {
		return fault.Invalid(problems...)
	}
	return nil
}
