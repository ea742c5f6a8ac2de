//go:build bench

package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
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
func (b *buyer) post(path, body string, want int) ([]byte, error) {
	return b.send(http.MethodPost, path, body, want)
}

func (b *buyer) send(method, path, body string, want int) ([]byte, error) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI("http://" + b.http.Addr + path)
	request.Header.SetMethod(method)
	request.Header.SetContentType("application/json")
	request.Header.Set("Idempotency-Key", uuid.NewString())
	if b.token != "" {
		request.Header.Set("Authorization", "Bearer "+b.token)
	}
	request.SetBodyString(body)
	if err := b.http.Do(request, response); err != nil {
		return nil, err
	}
	answer := append([]byte(nil), response.Body()...)
	if response.StatusCode() != want {
		return nil, fmt.Errorf("%s %s: %d %s", method, path, response.StatusCode(), answer)
	}
	return answer, nil
}

// addBook adds a book of which there are so many copies, and returns its id.
func (b *buyer) addBook(t *testing.T, title string, copies int) int {
	t.Helper()
	answer, err := b.post("/books", fmt.Sprintf(`{"title":%q,"authors":["B. Ench"],"priceCents":1000,"currency":"EUR","quantity":%d}`, title, copies), http.StatusCreated)
	var made struct{ ID int }
	if err == nil {
		err = json.Unmarshal(answer, &made)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// meshBooks adds books to the running shop, which are deleted when the test ends, and picks from them.
func meshBooks(t *testing.T, b *buyer) (pick func() int) {
	t.Helper()
	ids := make([]int, 200)
	for i := range ids {
		ids[i] = b.addBook(t, fmt.Sprint("Bench ", i), 1_000_000)
	}
	t.Cleanup(func() {
		for _, id := range ids {
			_, _ = b.send(http.MethodDelete, fmt.Sprint("/books/", id), "", http.StatusNoContent) // a book that stays disturbs nothing
		}
	})
	return func() int { return ids[rand.IntN(len(ids))] }
}

func orderOf(customer string, book int) string {
	return fmt.Sprintf(`{"customerId":%q,"items":[{"bookId":%d,"quantity":1}]}`, customer, book)
}

func (b *buyer) order(customer string, book int) error {
	answer, err := b.post("/orders", orderOf(customer, book), http.StatusCreated)
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
