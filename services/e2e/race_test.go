//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// Two hundred buyers want one copy each of a book with thirty-seven.
func TestRaceForTheLastCopies(t *testing.T) {
	const buyers, copies = 200, 37
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Race", copies)
	answers := c.AtOnce(t, buyers, func(i int) shoptest.Call {
		return shoptest.Buy(fmt.Sprintf("racer-%d", i), "race-"+uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1})
	})
	won, lost := 0, 0
	for i, a := range answers {
		switch {
		case a.Status == http.StatusCreated:
			won++
		case a.Status == http.StatusConflict && a.Problem().Code == "out_of_stock":
			lost++
		default:
			t.Errorf("buyer %d: %v", i, a)
		}
	}
	if won != copies || lost != buyers-copies {
		t.Errorf("%d orders and %d refusals, want %d and %d", won, lost, copies, buyers-copies)
	}
	if left := c.Available(t, b.ID); left != 0 {
		t.Errorf("%d copies left, want 0", left)
	}
	if lines := cluster.Number(t, cluster.Leader(t, "orderdb"), "select count(*) from order_items where book_id = $1", b.ID); lines != copies {
		t.Errorf("%d order lines, want %d", lines, copies)
	}
	cluster.RequireNothingInDoubt(t)
	cluster.RequireLedgerBalanced(t)
}

// A hundred and twenty customers at one address, no more than may be in flight, want a copy at once: each is served, or
// refused because all are sold, and all but a few at the first attempt.
func TestRaceFromOneAddress(t *testing.T) {
	const buyers = 120
	c := shoptest.Shop(t)
	anybody := shoptest.NewClient(t, "")
	plenty, scarce := c.AddBook(t, "Plenty", buyers), c.AddBook(t, "Scarce", 37)
	each := make([]shoptest.Book, buyers)
	for i := range each {
		each[i] = c.AddBook(t, fmt.Sprint("Race ", i), 1)
	}
	for _, race := range []struct {
		name string
		book func(buyer int) int64
		sold int
	}{
		{"one book", func(int) int64 { return plenty.ID }, buyers},
		{"different books", func(buyer int) int64 { return each[buyer].ID }, buyers},
		{"a scarce book", func(int) int64 { return scarce.ID }, 37},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		won, lost := 0, 0
		var again atomic.Int64
		var mu sync.Mutex
		var sold time.Time
		var refused []time.Time
		shoptest.Parallel(buyers, func(i int) {
			order := shoptest.Buy(fmt.Sprintf("buyer-%d", i), "race-"+uuid.NewString(), shoptest.OrderItem{BookID: race.book(i), Quantity: 1})
			a, err := anybody.Try(ctx, order)
			// Of an address, two gateways answer 128 at once: where they are not shared out evenly, some buyers have to come again.
			for err == nil && a.Status == http.StatusTooManyRequests && a.Problem().Code == "too_many_in_flight" {
				again.Add(1)
				shoptest.Rest(ctx, 100*time.Millisecond)
				a, err = anybody.Try(ctx, order)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Errorf("%s, buyer %d: %v", race.name, i, err)
			case a.Status == http.StatusCreated:
				won, sold = won+1, time.Now()
			case a.Status == http.StatusConflict && a.Problem().Code == "out_of_stock":
				lost, refused = lost+1, append(refused, time.Now())
			default:
				t.Errorf("%s, buyer %d: %v", race.name, i, a)
			}
		})
		cancel()
		if won != race.sold || lost != buyers-race.sold {
			t.Errorf("%s: %d orders and %d refusals, want %d and %d", race.name, won, lost, race.sold, buyers-race.sold)
		}
		if n := again.Load(); n > buyers/10 {
			t.Errorf("%s: %d times a buyer had to come again", race.name, n)
		}
		for _, at := range refused {
			if late := at.Sub(sold); late > time.Second {
				t.Errorf("%s: a buyer was refused %v after the last copy was sold", race.name, late)
			}
		}
	}
	cluster.RequireNothingInDoubt(t)
	cluster.RequireLedgerBalanced(t)
}
