// Package requestinfo carries a request's id and caller in its context. Logs, calls to other services and idempotency
// keys read them.
package requestinfo

import "context"

// Info describes the request that a context belongs to.
type Info struct {
	RequestID string // X-Request-Id, the same on every hop
	Caller    string // X-Caller as set by the gateway; empty is anonymous
}

type key struct{}

// With returns a context that carries i.
func With(ctx context.Context, i Info) context.Context {
	return context.WithValue(ctx, key{}, i)
}

// From returns the Info that ctx carries, or the zero one.
func From(ctx context.Context) Info {
	i, _ := ctx.Value(key{}).(Info)
	return i
}
