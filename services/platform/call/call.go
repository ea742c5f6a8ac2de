// Package call calls another service: JSON over HTTP. The result of a call is done (nil), refused (fault.Refused) or
// unknown (fault.Unknown).
package call

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/requestinfo"
)

const (
	defaultTimeout = 5 * time.Second
	connectTimeout = time.Second
	idleTimeout    = 30 * time.Second
	idleConns      = 128
	largestAnswer  = 8 << 20
)

// Options of a client.
type Options struct {
	// Destination names the other service in metrics and messages; the base
	// URL's host when empty.
	Destination string
	Registry    *prometheus.Registry // nil: no metrics
	Timeout     time.Duration        // of one call, within the context's deadline; 0 means 5 s
}

// Client calls one service. It is safe for concurrent use.
type Client struct {
	base        string
	destination string
	timeout     time.Duration
	http        *http.Client
	metrics     *metrics
}

// New makes a client for the service at baseURL, such as http://127.0.0.1:9101.
func New(baseURL string, o Options) *Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Destination == "" {
		o.Destination = strings.TrimPrefix(baseURL, "http://")
	}
	return &Client{
		base:        strings.TrimSuffix(baseURL, "/"),
		destination: o.Destination,
		timeout:     o.Timeout,
		metrics:     newMetrics(o.Registry),
		http: &http.Client{
			Transport: &http.Transport{
				DialContext:  dial.Dialer(connectTimeout).DialContext,
				MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: idleTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Option adds to one call.
type Option func(*http.Request)

// Header sets a request header.
func Header(name, value string) Option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// Do sends in (nil: no body) and decodes the answer into out (nil: ignored). It passes on the request id, the caller and
// the time that is left of the deadline. A problem becomes the *fault.Error that it was on the other side.
func (c *Client) Do(ctx context.Context, method, path string, in, out any, opts ...Option) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err := c.exchange(ctx, method, path, in, out, opts)
	c.metrics.done(c.destination, err, time.Since(start))
	return fault.Wrap(fmt.Sprintf("call %s: %s %s", c.destination, method, path), err)
}

func (c *Client) exchange(ctx context.Context, method, path string, in, out any, opts []Option) error {
	request, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	for _, option := range opts {
		option(request)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.unanswered(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer))
	if err != nil {
		return c.unanswered(ctx, err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return problem(response, body)
	}
	if out == nil || len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return &fault.Error{Kind: fault.OutcomeUnknown, Op: "read answer", Message: "the " + c.destination + " service gave an unreadable answer", Err: err}
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	o := requestinfo.From(ctx)
	if o.RequestID != "" {
		request.Header.Set("X-Request-Id", o.RequestID)
	}
	if o.Caller != "" {
		request.Header.Set("X-Caller", o.Caller)
	}
	if deadline, ok := ctx.Deadline(); ok {
		request.Header.Set("X-Request-Timeout-Ms", strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
	return request, nil
}

// unanswered is the fault of a call without an answer. Its outcome is unknown, even after a refused connection: that may
// be the last of several tries that proxies made.
func (c *Client) unanswered(ctx context.Context, err error) error {
	var timeout *url.Error
	if ctx.Err() != nil || (errors.As(err, &timeout) && timeout.Timeout()) {
		return &fault.Error{Kind: fault.DeadlineExceeded, Message: "the " + c.destination + " service did not answer in time", Err: err}
	}
	return &fault.Error{Kind: fault.Unavailable, Message: "the " + c.destination + " service cannot be reached", Err: err}
}

// problem reads a failed answer. One that is not a problem (a proxy's) is
// judged by its status.
func problem(response *http.Response, body []byte) *fault.Error {
	f := fault.ReadProblem(response.StatusCode, body)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = time.Duration(seconds) * time.Second
	}
	return f
}

// metrics are shared by all clients of one registry.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(registry *prometheus.Registry) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "calls_total", Help: "Calls to other services by outcome: done, refused or unknown.",
		}, []string{"destination", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "call_duration_seconds", Help: "Duration of calls to other services.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"destination"}),
	}
	if registry != nil {
		m.calls = registered(registry, m.calls)
		m.duration = registered(registry, m.duration)
	}
	return m
}

// registered returns the collector that the registry has already, or c.
func registered[C prometheus.Collector](registry *prometheus.Registry, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := registry.Register(c); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}

func (m *metrics) done(destination string, err error, took time.Duration) {
	outcome := "done"
	switch {
	case fault.Unknown(err):
		outcome = "unknown"
	case fault.Refused(err):
		outcome = "refused"
	}
	m.calls.WithLabelValues(destination, outcome).Inc()
	m.duration.WithLabelValues(destination).Observe(took.Seconds())
}
