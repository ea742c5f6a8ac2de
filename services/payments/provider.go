package payments

import "context"

// Provider is the outside party that moves the money. It is never called inside
// a transaction, however fast it is.
//
// A call is identified by its key and operation and may be repeated: it is
// carried out once, and every repeat has the outcome of the first. nil is done,
// a fault for which fault.Refused holds is a decided "no", anything else leaves
// the outcome open. A void takes back an authorisation, a refund a capture: once
// either is done, nothing comes of what it takes back, be that unheard of, under
// way or yet to come.
type Provider interface {
	Ask(ctx context.Context, c Call) error
}

// Call is one question to the provider.
type Call struct {
	Key         string
	Operation   Operation
	Token       string // "" to take back what is not known here
	AmountCents int64
	Currency    string
}
