//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// baseURL is where the ingress is. Only this machine is ever put under load.
func baseURL(t testing.TB) string {
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

func token(t testing.TB, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("%s is not set: the task test:e2e sets it from the Nomad Variable nomad/jobs/gateway", variable)
	}
	return value
}

// client is one caller of the API.
type client struct {
	base, token string
	http        *http.Client
	judge       func(call, *answer) // of every answer; nil: nobody does
}

func shop(t testing.TB) *client { t.Helper(); return newClient(t, token(t, "BOOKSTORE_TEST_TOKEN")) }

func operator(t testing.TB) *client {
	t.Helper()
	return newClient(t, token(t, "BOOKSTORE_OPERATOR_TOKEN"))
}

func newClient(t testing.TB, token string) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{
		base: baseURL(t), token: token, judge: judged(t),
		http: &http.Client{Transport: transport, Timeout: 20 * time.Second},
	}
}

// call is one request. A body that is a string or bytes is sent as it is, anything else as
// JSON; a header with an empty value is left out.
type call struct {
	method, path string
	body         any
	header       map[string]string
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// problem is an RFC 9457 body.
type problem struct {
	Type, Title, Detail, Code, RequestID string
	Status                               int
	Errors                               []struct{ Field, Code, Detail string }
	Books                                []struct{ BookID, Available, UnitPriceCents int64 }
}

func (a *answer) problem() (p problem) {
	_ = json.Unmarshal(a.body, &p) // a body that is no problem has no code, which every caller checks
	return p
}

func (c *client) try(ctx context.Context, k call) (*answer, error) {
	var body io.Reader
	switch b := k.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	case []byte:
		body = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, c.base+k.path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, value := range k.header {
		req.Header.Set(name, value)
		if value == "" {
			req.Header.Del(name)
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
	a := &answer{res.StatusCode, res.Header, text}
	if err == nil && c.judge != nil {
		c.judge(k, a)
	}
	return a, err
}

// do makes a call that must be answered.
func (c *client) do(t testing.TB, k call) *answer {
	t.Helper()
	a, err := c.try(t.Context(), k)
	if err != nil {
		t.Fatalf("%s %s: %v", k.method, k.path, err)
	}
	return a
}

// want makes a call that must be answered with this status, and decodes the answer.
func (c *client) want(t testing.TB, status int, k call, into any) *answer {
	t.Helper()
	a := c.do(t, k)
	if a.status != status {
		t.Fatalf("%s %s: %v, want %d", k.method, k.path, a, status)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			t.Fatalf("%s %s: %v in %s", k.method, k.path, err, a.body)
		}
	}
	return a
}

// book and order are the API's shapes as far as the tests look at them.
type book struct {
	ID            int64     `json:"id"`
	SourceID      string    `json:"sourceId,omitempty"`
	ISBN          string    `json:"isbn,omitempty"`
	Title         string    `json:"title"`
	Authors       []string  `json:"authors"`
	PublishedYear *int      `json:"publishedYear,omitempty"`
	Language      string    `json:"language,omitempty"`
	PriceCents    int64     `json:"priceCents"`
	Currency      string    `json:"currency"`
	Quantity      int64     `json:"quantity"`
	InStock       bool      `json:"inStock"`
	Version       int64     `json:"version"`
	StockVersion  int64     `json:"stockVersion"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

type order struct {
	ID         string      `json:"id"`
	CustomerID string      `json:"customerId"`
	Status     string      `json:"status"`
	Items      []orderItem `json:"items"`
	TotalCents int64       `json:"totalCents"`
	Currency   string      `json:"currency"`
	Version    int64       `json:"version"`
	CreatedAt  time.Time   `json:"createdAt"`
}

type orderItem struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title,omitempty"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unitPriceCents,omitempty"`
}

type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// newBook is the body of a book that no other test has.
func newBook(title string, quantity int64) map[string]any {
	return map[string]any{
		"title": title + " " + uuid.NewString()[:8], "authors": []string{"E. Two"},
		"priceCents": 1250, "currency": "EUR", "quantity": quantity,
	}
}

// addBook adds a book that is deleted when the test ends.
func (c *client) addBook(t testing.TB, title string, quantity int64) (b book) {
	t.Helper()
	c.want(t, http.StatusCreated, call{method: "POST", path: "/books", body: newBook(title, quantity)}, &b)
	c.deleteLater(t, b.ID)
	return b
}

func (c *client) deleteLater(t testing.TB, id int64) {
	t.Helper()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		a, err := c.try(ctx, call{method: "DELETE", path: fmt.Sprintf("/books/%d", id)})
		if err != nil || (a.status != http.StatusNoContent && a.status != http.StatusGone) {
			t.Errorf("delete book %d: %v %v", id, a, err)
		}
	})
}

func (c *client) getBook(t testing.TB, id int64) (b book) {
	t.Helper()
	c.want(t, http.StatusOK, call{method: "GET", path: fmt.Sprintf("/books/%d", id)}, &b)
	return b
}

func (c *client) available(t testing.TB, id int64) int64 {
	t.Helper()
	var a struct{ Available int64 }
	c.want(t, http.StatusOK, call{method: "GET", path: fmt.Sprintf("/books/%d/availability", id)}, &a)
	return a.Available
}

// buy is the call that orders copies under a key.
func buy(customer, key string, items ...orderItem) call {
	return call{
		method: "POST", path: "/orders", header: map[string]string{"Idempotency-Key": key},
		body: map[string]any{"customerId": customer, "items": items},
	}
}

// persist makes a call as a well-behaved client does: what the API says may be tried again
// is tried again, with the same key, until ctx ends.
func (c *client) persist(ctx context.Context, k call) (*answer, error) {
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		a, err := c.try(ctx, k)
		if err == nil && !again(a) {
			return a, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return a, fmt.Errorf("gave up, the last answer: %v: %w", a, errors.Join(ctx.Err(), err))
		case <-timer.C:
		}
	}
}

func again(a *answer) bool {
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusConflict:
		code := a.problem().Code
		return code == "contended" || code == "in_progress" || code == "price_changed"
	}
	return false
}

// eventually polls until check is nil.
func eventually(t testing.TB, within time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error // what was wrong before the time was up
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, last)
		case <-tick.C:
		}
	}
}
