package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
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
		if err := s.WaitAtRest(ctx); err != nil {
			t.Errorf("after %s was killed: %v", name, err)
		}
		if status := post(ctx, s, "again-"+string(name), 4); status != http.StatusCreated {
			t.Errorf("after %s was killed: %d", name, status)
		}
	}
	if err := s.WaitAtRest(ctx); err != nil {
		t.Error(err)
	}
}

// Books and orders may be in database clusters of their own: an order is committed in both or in neither, whichever of
// them dies, and orders go on when it is back.
func TestOrdersOverTwoClusters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const books, stock = 10, 1000
	s := lab.Start(t, lab.Options{Books: books, Stock: stock, Apart: true})
	for _, name := range []string{lab.OrderDB, lab.BookDB} {
		var buyers sync.WaitGroup
		stop := make(chan struct{})
		for buyer := range 8 {
			buyers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
						post(ctx, s, fmt.Sprintf("%s-%d-%d", name, buyer, n), int64(1+n%books))
					}
				}
			})
		}
		time.Sleep(time.Second)
		s.Server(name).Kill(t)
		time.Sleep(time.Second)
		s.Server(name).Restart(t)
		time.Sleep(time.Second)
		close(stop)
		buyers.Wait()
		if err := s.WaitAtRest(ctx); err != nil {
			t.Errorf("after the cluster of %s died: %v", name, err)
		}
		if status := post(ctx, s, "after-"+name, 1); status != http.StatusCreated {
			t.Errorf("an order after the cluster of %s died: %d", name, status)
		}
	}
}

// A hundred and twenty orders at once are served, or refused because the copies
// are sold out: never because the shop is overloaded.
func TestManyOrdersAtOnceAreServed(t *testing.T) {
	const buyers, copies, few = 120, 150, 37
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := lab.Start(t, lab.Options{Books: buyers + 2, Stock: copies})
	const scarce = 2
	for i := range copies - few {
		if status := post(ctx, s, fmt.Sprint("before-", i), scarce); status != http.StatusCreated {
			t.Fatalf("an order before: %d", status)
		}
	}
	for name, c := range map[string]struct {
		book func(buyer int) int64
		sold int
	}{
		"one-book":        {func(int) int64 { return 1 }, buyers},
		"different-books": {func(buyer int) int64 { return int64(3 + buyer) }, buyers},
		"the-last-copies": {func(int) int64 { return scarce }, few},
	} {
		answers := make([]int, buyers)
		shoptest.Parallel(buyers, func(i int) { answers[i] = post(ctx, s, fmt.Sprint(name, "-", i), c.book(i)) })
		count := map[int]int{}
		for _, status := range answers {
			count[status]++
		}
		if count[http.StatusCreated] != c.sold || count[http.StatusCreated]+count[http.StatusConflict] != buyers {
			t.Errorf("%s: answered %v, want %d served", name, count, c.sold)
		}
	}
	if err := s.WaitAtRest(ctx); err != nil {
		t.Error(err)
	}
}
