// Package requestinfo carries a request's id and caller in its context, and what the request turned out to be about. Logs,
// calls to other services and idempotency keys read them.
package requestinfo

import (
	"context"
	"sync/atomic"
)

// Info describes the request that a context belongs to.
type Info struct {
	RequestID string // X-Request-Id, the same on every hop
	Caller    string // X-Caller as set by the gateway; empty is anonymous

	work *work
}

// work is what becomes known of a request while it is served, by whoever serves it, for the log line at its end.
type work struct{ gid, saga atomic.Pointer[string] }

type key struct{}

// With returns a context that carries i.
func With(ctx context.Context, i Info) context.Context {
	if i.work == nil {
		i.work = &work{}
	}
	return context.WithValue(ctx, key{}, i)
}

// From returns the Info that ctx carries, or the zero one.
func From(ctx context.Context) Info {
	i, _ := ctx.Value(key{}).(Info)
	return i
}

// SetGID notes the distributed transaction that the request of ctx is about; the last one stays. It does nothing where ctx
// belongs to no request.
func SetGID(ctx context.Context, gid string) {
	if w := From(ctx).work; w != nil {
		w.gid.Store(&gid)
	}
}

// SetSaga notes the saga that the request of ctx is about, as SetGID does.
func SetSaga(ctx context.Context, saga string) {
	if w := From(ctx).work; w != nil {
		w.saga.Store(&saga)
	}
}

// GID is the transaction that the request is about, as far as it is known; "" otherwise.
func (i Info) GID() string { return i.work.read(func(w *work) *string { return w.gid.Load() }) }

// Saga is the saga that the request is about, as far as it is known; "" otherwise.
func (i Info) Saga() string { return i.work.read(func(w *work) *string { return w.saga.Load() }) }

func (w *work) read(part func(*work) *string) string {
	if w == nil {
		return ""
	}
	if value := part(w); value != nil {
		return *value
	}
	return ""
}
