package coordinator

import (
	"regexp"

	"bookstore/services/platform/fault"
)

// CheckoutRequest is what a customer asks for.
type CheckoutRequest struct {
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

func (r CheckoutRequest) order() OrderRequest { return OrderRequest{r.CustomerID, r.Items} }

// Validate reports every problem of the request at once, as fault.InvalidField.
func (r CheckoutRequest) Validate() error {
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
