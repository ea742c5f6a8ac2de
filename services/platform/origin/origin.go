// Package origin carries through a context where a request came from: its id
// and its caller. Logs, calls to other services and idempotency read them.
package origin

import "context"

// Origin is where a request came from.
type Origin struct {
	RequestID string // X-Request-Id, the same on every hop
	Caller    string // X-Caller as set by the gateway; empty is anonymous
}

type key struct{}

// With returns a context that carries o.
func With(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, key{}, o)
}

// From returns the origin that ctx carries, or the zero one.
func From(ctx context.Context) Origin {
	o, _ := ctx.Value(key{}).(Origin)
	return o
}
