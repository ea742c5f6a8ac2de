package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/web"
)

// upstreamRequest is a request that may be sent several times.
type upstreamRequest struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// upstreamAnswer is an answer with its body, or with a stream in its place.
type upstreamAnswer struct {
	status int
	header http.Header
	body   []byte
	stream io.ReadCloser // whoever has the answer closes it
}

const (
	// maxSends is how often the gateway sends a call: once, and once more to what will usually be another instance.
	maxSends = 2
	// enoughAttempts is the number of attempts, the sidecar's included, after which a call is not sent again. The sidecar
	// makes two of each call that may be repeated, so there are four at most: one more than it takes to eject an instance
	// that fails (jobs/mesh).
	enoughAttempts = 3
	// minTimeLeft is what must be left of the deadline for a resend.
	minTimeLeft = 50 * time.Millisecond
)

// forward sends a request to its destination within the route's time, unless
// the destination's circuit is open (fault.CircuitOpen) or it is at its limit
// of calls in flight (fault.Overloaded).
func (g *Gateway) forward(ctx context.Context, r Route, request upstreamRequest) (answer *upstreamAnswer, err error) {
	call, err := g.metrics.destinations[r.Upstream].begin(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() {
		call.end()
		answer, err = call.answer, call.err
	}()
	call.answer, call.err = g.deliver(ctx, call, request)
	return call.answer, call.err
}

// deliver sends a request. It sends it again if that failed, the call may be
// repeated, and the retry budget allows it.
func (g *Gateway) deliver(ctx context.Context, call *upstreamCall, request upstreamRequest) (*upstreamAnswer, error) {
	r := call.route
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	send := g.send
	if r.Answer == Events {
		send = g.openStream
	}
	mayRepeat := r.Repeat == Always || (r.Repeat == WithKey && request.header.Get("Idempotency-Key") != "")
	for sent := 1; ; sent++ {
		setTimeLeft(ctx, request.header)
		answer, err := send(ctx, request)
		if err == nil {
			call.countReroutes(answer)
			switch {
			case answer.proxyFailed():
				answer, err = nil, proxyProblem(answer)
			case !call.mayRetryElsewhere(answer):
				return answer, nil
			}
		}
		if enough(call, sent, err) || !mayRepeat || !timeLeft(ctx) || !call.mayResend() {
			return answer, err
		}
		g.options.Log.InfoContext(ctx, "rerouting", "upstream", r.Upstream, "route", r.Pattern, "error", err)
	}
}

// enough tells whether a call has had enough attempts. The sidecar does not
// repeat a call that timed out. Such a call may be sent a third time, since the
// first two may both have gone to an instance that hangs.
func enough(call *upstreamCall, sent int, err error) bool {
	if call.reroutes+1 >= enoughAttempts {
		return true
	}
	return sent >= maxSends && fault.KindOf(err) != fault.DeadlineExceeded
}

// setTimeLeft tells the upstream how long its answer will be waited for.
func setTimeLeft(ctx context.Context, header http.Header) {
	if deadline, ok := ctx.Deadline(); ok {
		header.Set(web.HeaderTimeout, milliseconds(time.Until(deadline)))
	}
}

func timeLeft(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > minTimeLeft)
}

// proxyProblem turns a proxy's answer in plain text into a problem.
func proxyProblem(a *upstreamAnswer) error {
	if a.status == http.StatusGatewayTimeout {
		return fault.New(fault.DeadlineExceeded, "a part of the shop did not answer in time")
	}
	return &fault.Error{Kind: fault.Unavailable, RetryAfter: time.Second, Message: "a part of the shop cannot be reached"}
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(1, d.Milliseconds()), 10)
}

// transport keeps connections to the sidecar open: there is one host per
// upstream, and a connection per request in flight.
func transport() *http.Transport {
	return &http.Transport{
		DialContext:         dial.Dialer(time.Second).DialContext,
		MaxIdleConns:        512,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true, // an encoded answer is passed on as it is
	}
}

// largestAnswer bounds what is read of an upstream's answer: a page of 100
// books, each as long as the body that made it may be, is below it.
const largestAnswer = 8 << 20

// send sends r once. An error is fault.Unavailable or fault.DeadlineExceeded.
func (g *Gateway) send(ctx context.Context, r upstreamRequest) (*upstreamAnswer, error) {
	response, err := g.roundTrip(ctx, r) //nolint:bodyclose // readAll does
	if err != nil {
		return nil, err
	}
	return readAll(ctx, response)
}

// roundTrip sends r and returns the answer, whose body is still to be read.
func (g *Gateway) roundTrip(ctx context.Context, r upstreamRequest) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if len(r.body) > 0 {
		body = bytes.NewReader(r.body)
	}
	request, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), body)
	if err != nil {
		return nil, fault.Wrap("make the upstream's request", err)
	}
	request.Header = r.header.Clone()
	response, err := g.transport.RoundTrip(request)
	if err != nil {
		return nil, callError(ctx, err)
	}
	return response, nil
}

// readAll reads an answer to its end.
func readAll(ctx context.Context, response *http.Response) (*upstreamAnswer, error) {
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer+1))
	if err != nil {
		return nil, callError(ctx, err)
	}
	if len(answer) > largestAnswer {
		return nil, fault.New(fault.Unavailable, "the answer is too large to pass on")
	}
	return &upstreamAnswer{status: response.StatusCode, header: response.Header, body: answer}, nil
}

// callError is the fault of a call without a whole answer.
func callError(ctx context.Context, cause error) error {
	f := &fault.Error{Op: "call upstream", Err: cause}
	var network net.Error
	if ctx.Err() != nil || (errors.As(cause, &network) && network.Timeout()) {
		f.Kind, f.Message = fault.DeadlineExceeded, "a part of the shop did not answer in time"
		return f
	}
	f.Kind, f.Message, f.RetryAfter = fault.Unavailable, "a part of the shop cannot be reached", time.Second
	return f
}

// proxyFailed tells whether a proxy on the way found no instance and answered
// itself. A service answers its failures with problems.
func (a *upstreamAnswer) proxyFailed() bool { return a.gatewayError() && !a.isProblem() }

// gatewayError tells whether the status is 502, 503 or 504 (Envoy's gateway-error).
func (a *upstreamAnswer) gatewayError() bool {
	return a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout
}

// failure is the kind of a 502, 503 or 504; "" of every other answer.
func (a *upstreamAnswer) failure() fault.Kind {
	if !a.gatewayError() {
		return ""
	}
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &problem) // where there is no code the status says enough
	return fault.FromProblem(a.status, problem.Code)
}

// headerAttempts has the number of attempts that the sidecar made for an answer.
const headerAttempts = "X-Envoy-Attempt-Count"

// reroutes is how many the sidecar made.
func (a *upstreamAnswer) reroutes() int {
	sent, err := strconv.Atoi(a.header.Get(headerAttempts))
	if err != nil {
		return 0
	}
	return max(0, sent-1)
}

func (a *upstreamAnswer) isProblem() bool {
	given, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && given == web.ProblemType
}
