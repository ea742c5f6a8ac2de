//go:build drill

package drills

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// customer stands for many: orders that come whether or not those before were answered, and
// reads of books that lie in the gateways' memory.
type customer struct {
	platform *platform
	http     *http.Client
	name     string
	ordered  []int64 // books that are sold
	cached   []int64 // books that nobody buys, so that they stay cached

	orders track
	reads  []*track // of each cached book
	lists  track

	queue chan struct{} // who has an order under way

	mu        sync.Mutex
	acked     map[string][]byte // orders as they were acknowledged, by their path
	refused   map[string]int    // what else was answered to orders
	unsettled int
	last      string // the answer to an order that was given up
}

// The size of the load, and how long its orders are asked for when it has ended.
const (
	orderEvery    = 200 * time.Millisecond
	bookEvery     = 50 * time.Millisecond
	listEvery     = 100 * time.Millisecond
	copies        = 100_000
	orderPatience = 10 * time.Second
	mostOrders    = 64 // under way: while none is settled, no more customers come than these
	settleWithin  = 40 * time.Second
)

func newCustomer(p *platform) *customer {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	return &customer{
		platform: p, name: "drill-" + uuid.NewString()[:8], acked: map[string][]byte{}, refused: map[string]int{}, queue: make(chan struct{}, mostOrders),
		http: &http.Client{Transport: transport, Timeout: orderPatience},
	}
}

// stock adds the books, which go when the drill ends, and has some of them cached.
func (c *customer) stock(t *testing.T) {
	t.Helper()
	for i := range 14 {
		body := map[string]any{
			"title": fmt.Sprintf("Drilled %d %s", i, c.name), "authors": []string{"D. Rill"},
			"priceCents": 1250, "currency": "EUR", "quantity": copies,
		}
		var book struct{ ID int64 }
		status, text, err := c.call(t.Context(), http.MethodPost, "/books", body, nil)
		if err != nil || status != http.StatusCreated || json.Unmarshal(text, &book) != nil {
			t.Fatalf("add a book: %d %s %v", status, text, err)
		}
		t.Cleanup(func() {
			_, _, _ = c.call(context.Background(), http.MethodDelete, fmt.Sprintf("/books/%d", book.ID), nil, nil) // it harms nobody
		})
		if i < 10 {
			c.ordered = append(c.ordered, book.ID)
			continue
		}
		c.cached, c.reads = append(c.cached, book.ID), append(c.reads, new(track))
		for range 3 {
			_, _, _ = c.call(t.Context(), http.MethodGet, fmt.Sprintf("/books/%d", book.ID), nil, nil) // the reads that count come later
		}
	}
	t.Cleanup(c.http.CloseIdleConnections)
}

func (c *customer) run(ctx context.Context) {
	settle, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	context.AfterFunc(ctx, func() { time.AfterFunc(settleWithin, giveUp) })
	var all sync.WaitGroup
	all.Go(func() { each(ctx, orderEvery, func(n int) { c.order(settle, n) }) })
	all.Go(func() { each(ctx, bookEvery, func(n int) { c.read(settle, n%len(c.cached)) }) })
	all.Go(func() { each(ctx, listEvery, func(n int) { c.list(settle, n) }) })
	all.Wait()
}

// list asks for books that no cache knows of: replicas answer that.
func (c *customer) list(ctx context.Context, n int) {
	status, _, err := c.call(ctx, http.MethodGet, fmt.Sprintf("/books?author=%s-%d&limit=1", c.name, n), nil, nil)
	if err == nil && status == http.StatusOK {
		c.lists.serve()
	}
}

func (c *customer) read(ctx context.Context, n int) {
	status, _, err := c.call(ctx, http.MethodGet, fmt.Sprintf("/books/%d", c.cached[n]), nil, nil)
	if err == nil && status == http.StatusOK {
		c.reads[n].serve()
	}
}

// order asks for one order under its key until it is settled, ever less often.
func (c *customer) order(ctx context.Context, n int) {
	select {
	case c.queue <- struct{}{}:
		defer func() { <-c.queue }()
	default:
		return
	}
	body := map[string]any{"customerId": c.name, "items": []map[string]any{
		{"bookId": c.ordered[n%len(c.ordered)], "quantity": 1 + n%2},
	}}
	header := map[string]string{"Idempotency-Key": "drill-" + uuid.NewString()}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 4*time.Second) {
		status, text, err := c.call(ctx, http.MethodPost, "/orders", body, header)
		if err == nil && status == http.StatusCreated {
			c.acknowledge(text)
			return
		}
		c.note(status, text, err)
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			c.mu.Lock()
			c.unsettled++
			c.last = fmt.Sprintf("%d %s %v", status, text, err)
			c.mu.Unlock()
			return
		}
	}
}

// note counts an answer that is not an order.
func (c *customer) note(status int, text []byte, err error) {
	var problem struct{ Code, Detail string }
	_ = json.Unmarshal(text, &problem) // what is no problem is told by its status
	what := fmt.Sprintf("%d %s %s", status, problem.Code, problem.Detail)
	if err != nil {
		what = "no answer"
	}
	c.mu.Lock()
	c.refused[what]++
	c.mu.Unlock()
}

func (c *customer) acknowledge(text []byte) {
	var o struct{ ID string }
	if json.Unmarshal(text, &o) != nil {
		return
	}
	c.mu.Lock()
	c.acked["/orders/"+o.ID] = text
	c.mu.Unlock()
	c.orders.serve()
}

func (c *customer) operatorGet(ctx context.Context, path string) ([]byte, error) {
	status, text, err := c.call(ctx, http.MethodGet, path, nil, map[string]string{"Authorization": "Bearer " + c.platform.operator})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", path, status, text)
	}
	return text, err
}

func (c *customer) call(ctx context.Context, method, path string, body any, header map[string]string) (int, []byte, error) {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, sent)
	if err != nil {
		return 0, nil, err
	}
	if sent != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+c.platform.token)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, text, err
}
