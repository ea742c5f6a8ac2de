package checkout_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"bookstore/services/checkout"
)

// placed buys one copy and returns the order.
func (s *shop) placed(key string, book, quantity int64) (o checkout.Order) {
	s.t.Helper()
	s.buy(key, book, quantity).want(s.t, http.StatusCreated, "").read(s.t, &o)
	return o
}

func TestACancelReturnsTheCopies(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	o := s.placed("k", b, 3)
	s.send(http.MethodDelete, fmt.Sprintf("%s/books/%d", s.booksURL, b), "")
	first := s.cancel(o.ID).want(t, http.StatusOK, "")
	var c checkout.Order
	first.read(t, &c)
	if c.Status != "cancelled" || c.Version != 2 || c.ID != o.ID || len(c.Items) != 1 || !c.UpdatedAt.After(o.UpdatedAt) {
		t.Errorf("cancelled %+v", c)
	}
	s.finished()
	read := s.send(http.MethodGet, s.ordersURL+"/orders/"+o.ID, "")
	again := s.cancel(o.ID).want(t, http.StatusOK, "")
	keyed := s.cancel(o.ID, "Idempotency-Key", s.key("x")).want(t, http.StatusOK, "")
	for _, a := range []answer{read, again, keyed} {
		if a.text != first.text {
			t.Errorf("got %s, want %s", a.text, first.text)
		}
	}
	replay := s.cancel(o.ID, "Idempotency-Key", s.key("x")).want(t, http.StatusOK, "")
	if replay.header.Get("Idempotent-Replayed") != "true" || keyed.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("replayed: %v, before: %v", replay.header, keyed.header)
	}
	s.finished()
	if s.stock(b) != 5 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func TestOrdersThatCannotBeCancelled(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	o := s.placed("k", b, 1)
	s.exec(s.orders, "UPDATE orders SET status = 'paid'")
	for range 2 {
		a := s.cancel(o.ID).want(t, http.StatusConflict, "not_cancellable")
		if !strings.Contains(a.text, `"status":409`) {
			t.Errorf("the problem is %s", a.text)
		}
	}
	for _, id := range []string{"01890000-0000-7000-8000-000000000000", "nonsense", "1"} {
		s.cancel(id).want(t, http.StatusNotFound, "order_not_found")
	}
	s.send(http.MethodPost, s.url+"/orders/"+o.ID+"/cancel", `{"why":"not"}`).want(t, http.StatusBadRequest, "malformed_request")
	s.finished()
	if s.stock(b) != 4 {
		t.Errorf("stock %d", s.stock(b))
	}
}

// Deadlocks across two databases are invisible to PostgreSQL: they would show
// here as cancels that fail or take seconds, and copies returned twice.
func TestParallelCancelsOfOneOrderReturnItsCopiesOnce(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	var ids []int64
	var lines []string
	for i := range 5 {
		ids = append(ids, s.book(fmt.Sprint("book ", i), 100, 10))
		lines = append(lines, fmt.Sprintf(`{"bookId":%d,"quantity":2}`, ids[i]))
	}
	var o checkout.Order
	s.order("k", `{"customerId":"c-1","items":[`+strings.Join(lines, ",")+`]}`).want(t, http.StatusCreated, "").read(t, &o)
	var cancelling sync.WaitGroup
	for i := range 12 {
		cancelling.Go(func() {
			headers := []string{}
			if i%2 == 0 { // another key each: transactions of their own
				headers = []string{"Idempotency-Key", s.key(fmt.Sprint("cancel-", i))}
			}
			var c checkout.Order
			a := s.cancel(o.ID, headers...).want(t, http.StatusOK, "")
			a.read(t, &c)
			if c.Status != "cancelled" || c.Version != 2 {
				t.Errorf("cancel %d: %s", i, a.text)
			}
		})
	}
	cancelling.Wait()
	s.finished()
	for _, id := range ids {
		if s.stock(id) != 10 {
			t.Errorf("book %d: stock %d", id, s.stock(id))
		}
	}
}

// Orders and cancels of the same books at once lock the same rows in both
// databases, from both sides.
func TestOrdersAndCancelsOfTheSameBooksAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	a, b := s.book("A", 100, 1000), s.book("B", 100, 1000)
	var working sync.WaitGroup
	for worker := range 8 {
		working.Go(func() {
			for i := range 8 {
				first, second := a, b
				if (worker+i)%2 == 0 {
					first, second = b, a
				}
				var o checkout.Order
				placed := s.order(fmt.Sprint("w", worker, "-", i), fmt.Sprintf(
					`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1},{"bookId":%d,"quantity":2}]}`, first, second))
				if placed.want(t, http.StatusCreated, "").status != http.StatusCreated {
					return
				}
				placed.read(t, &o)
				if i%2 == 0 {
					s.cancel(o.ID).want(t, http.StatusOK, "")
				}
			}
		})
	}
	working.Wait()
	s.finished()
}
