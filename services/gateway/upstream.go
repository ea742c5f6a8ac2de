package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/fault"
)

// largestAnswer bounds what is read of an upstream's answer: a page of 100
// books, each as long as the body that made it may be, is below it.
const largestAnswer = 8 << 20

// upstreamAnswer is a whole answer, or one whose body is still to come.
type upstreamAnswer struct {
	status int
	header http.Header
	body   []byte
	stream io.ReadCloser // in place of body; whoever has the answer closes it
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

// upstreamRequest is a request to be sent once or twice.
type upstreamRequest struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// send sends r once. An error is fault.Unavailable or fault.DeadlineExceeded.
func (g *Gateway) send(ctx context.Context, r upstreamRequest) (*upstreamAnswer, error) {
	response, err := g.begin(ctx, r) //nolint:bodyclose // whole does
	if err != nil {
		return nil, err
	}
	return whole(ctx, response)
}

// begin sends r and returns what the answer begins with.
func (g *Gateway) begin(ctx context.Context, r upstreamRequest) (*http.Response, error) {
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
		return nil, broken(ctx, err)
	}
	return response, nil
}

// whole reads an answer to its end.
func whole(ctx context.Context, response *http.Response) (*upstreamAnswer, error) {
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer+1))
	if err != nil {
		return nil, broken(ctx, err)
	}
	if len(answer) > largestAnswer {
		return nil, fault.New(fault.Unavailable, "the answer is too large to pass on")
	}
	return &upstreamAnswer{status: response.StatusCode, header: response.Header, body: answer}, nil
}

// broken is a call without a whole answer.
func broken(ctx context.Context, cause error) error {
	f := &fault.Error{Op: "call upstream", Err: cause}
	var network net.Error
	if ctx.Err() != nil || (errors.As(cause, &network) && network.Timeout()) {
		f.Kind, f.Message = fault.DeadlineExceeded, "a part of the shop did not answer in time"
		return f
	}
	f.Kind, f.Message, f.RetryAfter = fault.Unavailable, "a part of the shop cannot be reached", time.Second
	return f
}

// proxyFailed tells whether an answer came from a proxy on the way that found
// nobody to answer, rather than from the service, whose failures are problems.
func (a *upstreamAnswer) proxyFailed() bool { return a.unserved() && !a.isProblem() }

// unserved tells whether an answer says that nobody did the work.
func (a *upstreamAnswer) unserved() bool {
	return a.status == http.StatusBadGateway || a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout
}

// failure is the kind of what an answer says that nobody did the work for; ""
// where somebody did, or refused to.
func (a *upstreamAnswer) failure() fault.Kind {
	if !a.unserved() {
		return ""
	}
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.body, &problem) // where there is no code the status says enough
	return fault.FromProblem(a.status, problem.Code)
}

// headerAttempts is how often the sidecar sent a call for its one answer.
const headerAttempts = "X-Envoy-Attempt-Count"

// reroutes are those that the sidecar made.
func (a *upstreamAnswer) reroutes() int {
	sent, err := strconv.Atoi(a.header.Get(headerAttempts))
	if err != nil {
		return 0
	}
	return max(0, sent-1)
}
