// Package shoptest is what the tests of the shop share: one client of its API, whose answers
// are checked against the API's document, and one load generator, which records what the shop
// acknowledged. It knows the shop from outside, and imports none of its code, so that a mistake
// in the shop is not a mistake of its tests too.
package shoptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/shoptest/hosts"
)

// BaseURL is where the ingress is, or the first one of the lab. Only this machine is ever put under load.
func BaseURL(t testing.TB) string {
	t.Helper()
	return addresses(t)[0]
}

// addresses are those of all ingresses.
func addresses(t testing.TB) (all []string) {
	t.Helper()
	if !hosts.InUse() {
		return []string{onThisMachine(t)}
	}
	machines, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range machines {
		all = append(all, "https://"+h.Address+":8443")
	}
	return all
}

func onThisMachine(t testing.TB) string {
	t.Helper()
	base := os.Getenv("BASE_URL")
	if base == "" {
		return "http://127.0.0.1:8080"
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		t.Fatalf("BASE_URL %q is not on this machine", base)
	}
	return strings.TrimRight(base, "/")
}

// Token reads a token of the API from an environment variable, which the tasks set.
func Token(t testing.TB, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("%s is not set: the tasks of tests and drills set it from the Nomad Variable nomad/jobs/gateway", variable)
	}
	return value
}

// Client is one caller of the API.
type Client struct {
	Base, Token string
	HTTP        *http.Client
	Check       func(Call, *Answer) // called with every answer, unless nil

	next []string     // other addresses of the shop, to be tried where one is silent
	at   atomic.Int32 // which one is used: 0 for Base
}

// Shop returns a client that may do what tests do: read, order, and add and change books.
func Shop(t testing.TB) *Client { t.Helper(); return NewClient(t, Token(t, "BOOKSTORE_TEST_TOKEN")) }

// Operator returns a client that may see transactions and decide on them.
func Operator(t testing.TB) *Client {
	t.Helper()
	return NewClient(t, Token(t, "BOOKSTORE_OPERATOR_TOKEN"))
}

// NewClient returns a client with a token, or none where that is empty. Every answer is held to
// the API's document; one that is not documented fails the test.
func NewClient(t testing.TB, token string) *Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	all := addresses(t)
	if hosts.InUse() {
		_, transport.TLSClientConfig = SecureDoor(t)
		transport.TLSClientConfig.ServerName = "" // each address has its own
	}
	return &Client{
		Base: all[0], next: all[1:], Token: token, Check: checked(t),
		HTTP: &http.Client{Transport: transport, Timeout: 20 * time.Second},
	}
}

// mostBody bounds the body of an answer, in bytes.
const mostBody = 8 << 20

// Call is one request. A body that is a string or bytes is sent as it is, anything else as
// JSON; a header with an empty value is left out.
type Call struct {
	Method, Path string
	Body         any
	Header       map[string]string
}

// Answer is a response with its whole body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func (a *Answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

// Problem is an RFC 9457 body.
type Problem struct {
	Type, Title, Detail, Code, RequestID string
	Status                               int
	Errors                               []struct{ Field, Code, Detail string }
	Books                                []struct{ BookID, Available, UnitPriceCents int64 }
}

// Problem decodes the body of a refusal.
func (a *Answer) Problem() (p Problem) {
	_ = json.Unmarshal(a.Body, &p) // a body that is no problem has no code, which every caller checks
	return p
}

// Try makes a call once. An error means that there was no answer: the outcome is unknown.
func (c *Client) Try(ctx context.Context, k Call) (*Answer, error) {
	var body []byte
	switch b := k.Body.(type) {
	case nil:
	case string:
		body = []byte(b)
	case []byte:
		body = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = text
	}
	return c.tryAddresses(ctx, k, body)
}

// send makes a call at one address.
func (c *Client) send(ctx context.Context, base string, k Call, body []byte) (*Answer, error) {
	var reader io.Reader
	if k.Body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, k.Method, base+k.Path, reader)
	if err != nil {
		return nil, err
	}
	if k.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for name, value := range k.Header {
		req.Header.Set(name, value)
		if value == "" {
			req.Header.Del(name)
		}
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostBody))
	a := &Answer{res.StatusCode, res.Header, text}
	if err == nil && c.Check != nil {
		c.Check(k, a)
	}
	return a, err
}

// Do makes a call that must be answered.
func (c *Client) Do(t testing.TB, k Call) *Answer {
	t.Helper()
	a, err := c.Try(t.Context(), k)
	if err != nil {
		t.Fatalf("%s %s: %v", k.Method, k.Path, err)
	}
	return a
}

// Want makes a call that must be answered with this status, and decodes the answer.
func (c *Client) Want(t testing.TB, status int, k Call, into any) *Answer {
	t.Helper()
	a := c.Do(t, k)
	if a.Status != status {
		t.Fatalf("%s %s: %v, want %d", k.Method, k.Path, a, status)
	}
	if into != nil {
		if err := json.Unmarshal(a.Body, into); err != nil {
			t.Fatalf("%s %s: %v in %s", k.Method, k.Path, err, a.Body)
		}
	}
	return a
}

// Pauses between the attempts of one call that Persist makes, each drawn around its mean.
const (
	firstPause = 100 * time.Millisecond
	mostPause  = 4 * time.Second
)

// Persist repeats a call, always under the same key, for as long as retry says so of what came of it (Retriable,
// Inconclusive). The pauses grow and are drawn at random, so that repeats do not hold down a shop that recovers. An
// error means that ctx ended first.
func (c *Client) Persist(ctx context.Context, k Call, retry func(*Answer, error) bool) (*Answer, error) {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		a, err := c.Try(ctx, k)
		if !retry(a, err) {
			return a, err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return a, fmt.Errorf("%s %s %v has no final answer, the last was %v: %w", k.Method, k.Path, k.Header, a, errors.Join(ctx.Err(), err))
		}
	}
}

// Retriable tells whether there was no answer, or one after which the API says to repeat the call.
func Retriable(a *Answer, err error) bool { return err != nil || Again(a) }

// Inconclusive tells whether the outcome is not known: the call is retriable, or was answered with any 5xx.
func Inconclusive(a *Answer, err error) bool {
	return Retriable(a, err) || a.Status >= http.StatusInternalServerError
}

// Again tells whether the API says of an answer that the call may be repeated.
func Again(a *Answer) bool {
	switch a.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict:
		code := a.Problem().Code
		return code == "contended" || code == "in_progress" || code == "price_changed"
	}
	return false
}

// atOnceTime bounds calls that are made at once.
const atOnceTime = 3 * time.Minute

// AtOnce makes n calls at one moment, each until it has a final answer, and returns the answers in
// the order of the calls. A call without a final answer ends the test.
func (c *Client) AtOnce(t testing.TB, n int, call func(i int) Call) []*Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atOnceTime)
	defer cancel()
	answers, errs := make([]*Answer, n), make([]error, n)
	Parallel(n, func(i int) { answers[i], errs[i] = c.Persist(ctx, call(i), Retriable) })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return answers
}

// Parallel starts n functions at one moment and returns when all have ended.
func Parallel(n int, do func(i int)) {
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { <-start; do(i) })
	}
	close(start)
	all.Wait()
}
