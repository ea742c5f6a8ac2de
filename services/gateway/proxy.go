package gateway

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

const (
	// attempts is how often a call is sent at most: once, and once more to what
	// will usually be another instance.
	attempts = 2
	// enoughTries is how many tries a call has had, the sidecar's included, when it
	// is not sent again. The sidecar makes two of each that may be repeated, and so
	// a call is tried four times at most: once more than it takes an instance that
	// fails to be ejected (jobs/mesh).
	enoughTries = 3
)

// leastTime is what must be left of the deadline for a second attempt.
const leastTime = 50 * time.Millisecond

// forward sends a request to its destination within the route's time, unless
// the destination's circuit is open (fault.CircuitOpen) or it has all it can
// carry (fault.Overloaded).
func (g *Gateway) forward(ctx context.Context, r Route, request upstreamRequest) (answer *upstreamAnswer, err error) {
	v, err := g.metrics.destinations[r.Upstream].enter(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() {
		v.leave()
		answer, err = v.answer, v.err
	}()
	v.answer, v.err = g.deliver(ctx, v, request)
	return v.answer, v.err
}

// deliver sends a request, and a second time if the first came to nothing, the
// call may be repeated, and the budget for that is not spent.
func (g *Gateway) deliver(ctx context.Context, v *visit, request upstreamRequest) (*upstreamAnswer, error) {
	r := v.route
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	send := g.send
	if r.Answer == Events {
		send = g.open
	}
	mayRepeat := r.Repeat == Always || (r.Repeat == WithKey && request.header.Get("Idempotency-Key") != "")
	for try := 1; ; try++ {
		setTimeLeft(ctx, request.header)
		answer, err := send(ctx, request)
		if err == nil {
			v.arrived(answer)
			switch {
			case answer.proxyFailed():
				answer, err = nil, proxyProblem(answer)
			case !v.elsewhere(answer):
				return answer, nil
			}
		}
		if spent(v, try, err) || !mayRepeat || !timeLeft(ctx) || !v.mayResend() {
			return answer, err
		}
		g.options.Log.InfoContext(ctx, "rerouting", "upstream", r.Upstream, "route", r.Pattern, "error", err)
	}
}

// spent tells whether a call has been sent often enough. The sidecar does not
// repeat what took it too long, so that this may be sent a third time: the first
// two may both have gone to an instance that hangs.
func spent(v *visit, sent int, err error) bool {
	if v.reroutes+1 >= enoughTries {
		return true
	}
	return sent >= attempts && fault.KindOf(err) != fault.DeadlineExceeded
}

// setTimeLeft tells the upstream how long its answer will be waited for.
func setTimeLeft(ctx context.Context, header http.Header) {
	if deadline, ok := ctx.Deadline(); ok {
		header.Set(web.HeaderTimeout, milliseconds(time.Until(deadline)))
	}
}

func timeLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > leastTime)
}

// proxyProblem turns a proxy's plain words into a problem.
func proxyProblem(a *upstreamAnswer) error {
	if a.status == http.StatusGatewayTimeout {
		return fault.New(fault.DeadlineExceeded, "a part of the shop did not answer in time")
	}
	return &fault.Error{Kind: fault.Unavailable, RetryAfter: time.Second, Message: "a part of the shop cannot be reached"}
}

func (a *upstreamAnswer) isProblem() bool {
	given, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && given == web.ProblemType
}

// target is where a request goes: the upstream's address with the path and
// query as the client wrote them.
func target(base *url.URL, path, query string) (*url.URL, error) {
	decoded, err := url.PathUnescape(path)
	if err != nil || !plain(path, decoded) {
		return nil, fault.New(fault.NotFound, "there is no such path")
	}
	u := *base
	u.Path, u.RawPath, u.RawQuery = decoded, path, query
	return &u, nil
}
