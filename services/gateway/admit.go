package gateway

import (
	"context"
	"math"
	"net/netip"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"bookstore/services/gateway/limit"
)

// headerClientAddress is the client's address as the ingress sees it. The ingress overwrites a client's value, and only
// the ingress may call the gateway, so it can be trusted.
const headerClientAddress = "X-Client-Address"

// admission admits requests within their clients' limits.
type admission struct {
	limiter   *limit.Limiter // nil admits everything
	defaults  limit.Limits   // of clients whose token has no limits of its own
	addresses addresses
}

func newAdmission(limiter *limit.Limiter, defaults limit.Limits) *admission {
	return &admission{limiter: limiter, defaults: defaults, addresses: addresses{names: map[string]string{}}}
}

// ticket is an admitted request.
type ticket struct {
	limiter *limit.Limiter
	client  string
}

// done must be called when the request is answered.
func (t ticket) done() {
	if t.limiter != nil {
		t.limiter.Done(t.client)
	}
}

// beginStream counts the request as a stream, or refuses it. After a nil error endStream must be called instead of
// done.
func (t ticket) beginStream() error {
	if t.limiter == nil {
		return nil
	}
	return t.limiter.BeginStream(t.client)
}

func (t ticket) endStream() {
	if t.limiter != nil {
		t.limiter.EndStream(t.client)
		t.limiter.Done(t.client)
	}
}

// admit admits or refuses a request, and writes the client's limits into the answer either way. It allocates nothing for
// a known client.
func (a *admission) admit(ctx context.Context, r *fasthttp.RequestCtx, caller *Identity) (ticket, error) {
	if a.limiter == nil {
		return ticket{}, nil
	}
	client, limits := a.clientOf(r, caller)
	state, err := a.limiter.Admit(ctx, client, limits)
	writeState(&r.Response.Header, state)
	if err != nil {
		return ticket{}, err
	}
	return ticket{a.limiter, client}, nil
}

// clientOf is the client that is limited: a token's bearer, else an address.
func (a *admission) clientOf(r *fasthttp.RequestCtx, caller *Identity) (string, limit.Limits) {
	switch {
	case caller == nil:
		return a.addresses.client(r.Request.Header.Peek(headerClientAddress)), a.defaults
	case caller.Limits == limit.Limits{}:
		return caller.Client(), a.defaults
	default:
		return caller.Client(), caller.Limits
	}
}

// writeState writes the headers of draft-ietf-httpapi-ratelimit-headers-06, the
// last version with separate headers; later ones put them into one.
func writeState(h *fasthttp.ResponseHeader, s limit.State) {
	var digits [20]byte
	h.SetBytesV("RateLimit-Limit", strconv.AppendInt(digits[:0], int64(s.Limit), 10))
	h.SetBytesV("RateLimit-Remaining", strconv.AppendInt(digits[:0], int64(s.Remaining), 10))
	h.SetBytesV("RateLimit-Reset", strconv.AppendInt(digits[:0], int64(math.Ceil(s.Reset.Seconds())), 10))
	h.Set("RateLimit-Policy", s.Policy)
}

const (
	clientUnknown = "address:unknown"
	// mostAddresses bounds the addresses that are remembered with their clients' names.
	mostAddresses = 4096
	// longestAddress is that of an IPv6 address with a zone.
	longestAddress = 64
)

// addresses remembers the names of the clients at addresses.
type addresses struct {
	mu    sync.RWMutex
	names map[string]string // by address as the ingress writes it
}

func (a *addresses) client(written []byte) string {
	if len(written) == 0 || len(written) > longestAddress {
		return clientUnknown
	}
	a.mu.RLock()
	name, known := a.names[string(written)]
	a.mu.RUnlock()
	if known {
		return name
	}
	address := string(written)
	name = clientAt(address)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.names) >= mostAddresses {
		clear(a.names)
	}
	a.names[address] = name
	return name
}

// clientAt names the client at an address. An IPv6 client is a /64 network: it
// has at least that, and could use another of its addresses for each request.
func clientAt(written string) string {
	address, err := netip.ParseAddr(written)
	if err != nil {
		return clientUnknown
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		network, err := address.Prefix(64)
		if err != nil {
			return clientUnknown
		}
		return "address:" + network.String()
	}
	return "address:" + address.String()
}
