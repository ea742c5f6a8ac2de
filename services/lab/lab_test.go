package lab_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"bookstore/services/lab"
	"bookstore/services/shoptest"
)

// post places an order for a copy of a book and returns the status, 0 where there is no answer.
func post(ctx context.Context, s *lab.Shop, key string, book int64) int {
	c := shoptest.Client{Base: s.URL(lab.Coordinator), HTTP: http.DefaultClient}
	a, err := c.Try(ctx, shoptest.Buy("c", key, shoptest.OrderItem{BookID: book, Quantity: 1}))
	if err != nil {
		return 0
	}
	return a.Status
}

// Every service is killed and frozen once; the shop is whole again after each.
func TestTheShopIsWholeAfterEachKill(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := lab.Start(t, lab.Options{Books: 10, Stock: 100, Apart: true})
	if status := post(ctx, s, "first", 1); status != http.StatusCreated {
		t.Fatalf("the first order: %d", status)
	}
	for _, name := range []lab.Service{lab.Books, lab.Orders, lab.Coordinator} {
		s.Freeze(name)
		short, end := context.WithTimeout(ctx, 300*time.Millisecond)
		post(short, s, "frozen-"+string(name), 2)
		end()
		s.Kill(name)
		post(ctx, s, "killed-"+string(name), 3)
		if err := s.Restart(name); err != nil {
			t.Fatal(err)
		}
		if err := s.Ready(ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := s.Settle(ctx); err != nil {
			t.Errorf("after %s was killed: %v", name, err)
		}
		if status := post(ctx, s, "again-"+string(name), 4); status != http.StatusCreated {
			t.Errorf("after %s was killed: %d", name, status)
		}
	}
	if err := s.Settle(ctx); err != nil {
		t.Error(err)
	}
}
