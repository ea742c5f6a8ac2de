//go:build bench

package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/valyala/fasthttp"

	"bookstore/services/lab"
)

// buyer posts orders on connections that stay open. It is fasthttp's because
// the load is made on the cores that are measured.
type buyer struct {
	http  fasthttp.HostClient
	token string

	mu    sync.Mutex
	known []string // ids of the orders that were acknowledged
}

func newBuyer(addr, token string) *buyer {
	return &buyer{
		http:  fasthttp.HostClient{Addr: addr, MaxConns: 1024, MaxIdemponentCallAttempts: 1, ReadTimeout: 20 * time.Second},
		token: token,
	}
}

// post sends a body under a key of its own and returns the answer's.
func (b *buyer) post(path, key, body string, want int) ([]byte, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + b.http.Addr + path)
	request.Header.SetMethod(http.MethodPost)
	request.Header.SetContentType("application/json")
	request.Header.Set("Idempotency-Key", key)
	if b.token != "" {
		request.Header.Set("Authorization", "Bearer "+b.token)
	}
	request.SetBodyString(body)
	if err := b.http.Do(request, response); err != nil {
		return nil, err
	}
	answer := append([]byte(nil), response.Body()...)
	if response.StatusCode() != want {
		return nil, fmt.Errorf("POST %s: %d %s", path, response.StatusCode(), answer)
	}
	return answer, nil
}

func orderOf(customer string, book int) string {
	return fmt.Sprintf(`{"customerId":%q,"items":[{"bookId":%d,"quantity":1}]}`, customer, book)
}

// clients are n customers who order one copy of a book after the other. pick
// says which book.
func (b *buyer) clients(n int, pick func() int) []work {
	all := make([]work, n)
	for i := range all {
		customer := fmt.Sprint("customer-", i)
		all[i] = func(context.Context) error { return b.order(customer, pick()) }
	}
	return all
}

func (b *buyer) order(customer string, book int) error {
	answer, err := b.post("/orders", uuid.NewString(), orderOf(customer, book), http.StatusCreated)
	if err != nil {
		return err
	}
	var made struct{ ID string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = append(b.known, made.ID)
	return nil
}

// anyBook picks from all books alike.
func anyBook() int { return 1 + rand.IntN(bookCount) }

func placeOrder(_ context.Context, t *testing.T, s *lab.Shop, customer string, book int) []byte {
	t.Helper()
	b := newBuyer(strings.TrimPrefix(s.URL(lab.Coordinator), "http://"), "")
	defer b.http.CloseIdleConnections()
	answer, err := b.post("/orders", uuid.NewString(), orderOf(customer, book), http.StatusCreated)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// baseline is the same work without a coordinator: copies of the two databases,
// on the same server.
type baseline struct {
	sample sample
	conns  []*pgx.Conn // two for each client: to the copy of bookdb and of orderdb
}

func newBaseline(t *testing.T, s *lab.Shop, heard sample, most int) *baseline {
	t.Helper()
	b := &baseline{sample: heard}
	for range most {
		b.conns = append(b.conns,
			s.Server(lab.BookDB).Conn(t, localCopy(lab.BookDB)), s.Server(lab.OrderDB).Conn(t, localCopy(lab.OrderDB)))
	}
	return b
}

func localCopy(database string) string { return "local_" + database }

// clients are n clients that make each order as one local transaction in
// either database.
func (b *baseline) clients(n int) []work {
	books, orders := b.sample.branches["books"], b.sample.branches["orders"]
	return b.all(n, func(ctx context.Context, bookdb, orderdb *pgx.Conn, book, gid, order string) error {
		if err := local(ctx, bookdb, books, b.sample, book, gid, order); err != nil {
			return err
		}
		return local(ctx, orderdb, orders, b.sample, book, gid, order)
	})
}

// single are n clients for whom both are one database, and an order one
// transaction without what only a distributed one writes.
func (b *baseline) single(n int) []work {
	var bare []statement
	for _, s := range append(slices.Clone(b.sample.branches["books"]), b.sample.branches["orders"]...) {
		if !s.marker() {
			bare = append(bare, s)
		}
	}
	return b.all(n, func(ctx context.Context, bookdb, _ *pgx.Conn, book, gid, order string) error {
		return local(ctx, bookdb, bare, b.sample, book, gid, order)
	})
}

func (b *baseline) all(n int, do func(ctx context.Context, bookdb, orderdb *pgx.Conn, book, gid, order string) error) []work {
	all := make([]work, n)
	for i := range all {
		bookdb, orderdb := b.conns[2*i], b.conns[2*i+1]
		all[i] = func(ctx context.Context) error {
			return do(ctx, bookdb, orderdb,
				fmt.Sprint(anyBook()), strings.ReplaceAll(uuid.NewString(), "-", ""), uuid.Must(uuid.NewV7()).String())
		}
	}
	return all
}
