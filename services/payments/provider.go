package payments

import "context"

// Provider is the outside party that moves the money. It is never called inside
// a transaction, however fast it is.
//
// A call is identified by its key and operation, and may be repeated: it is carried out once, and every repeat has the
// outcome of the first. nil is done; a fault for which fault.Refused holds is refused; after anything else the outcome is
// unknown. A void undoes an authorisation, a refund a capture: once either is done, the undone call has no effect,
// whether it came before, is in progress, or comes later.
type Provider interface {
	Ask(ctx context.Context, c Call) error
}

// Call is one call to the provider.
type Call struct {
	Key         string
	Operation   Operation
	Token       string // "" to take back what is not known here
	AmountCents int64
	Currency    string
}
