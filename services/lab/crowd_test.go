package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"bookstore/services/lab"
)

// A hundred and twenty buyers who come at once are served, or refused because
// the copies are gone: never for want of room.
func TestACrowdIsServed(t *testing.T) {
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
		said := map[int]int{}
		var mu sync.Mutex
		var buying sync.WaitGroup
		for i := range buyers {
			buying.Go(func() {
				status := post(ctx, s, fmt.Sprint(name, "-", i), c.book(i))
				mu.Lock()
				defer mu.Unlock()
				said[status]++
			})
		}
		buying.Wait()
		if said[http.StatusCreated] != c.sold || said[http.StatusCreated]+said[http.StatusConflict] != buyers {
			t.Errorf("%s: answered %v, want %d served", name, said, c.sold)
		}
	}
	if err := s.Settle(ctx); err != nil {
		t.Error(err)
	}
}
