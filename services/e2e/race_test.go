//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Two hundred buyers want one copy each of a book with thirty-seven.
func TestRaceForTheLastCopies(t *testing.T) {
	const buyers, copies = 200, 37
	c := shop(t)
	b := c.addBook(t, "Race", copies)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	answers := make([]*answer, buyers)
	errs := make([]error, buyers)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range buyers {
		done.Go(func() {
			k := buy(fmt.Sprintf("racer-%d", i), "race-"+uuid.NewString(), orderItem{BookID: b.ID, Quantity: 1})
			<-start
			answers[i], errs[i] = c.persist(ctx, k)
		})
	}
	close(start)
	done.Wait()

	won, lost := 0, 0
	for i, a := range answers {
		switch {
		case errs[i] != nil:
			t.Errorf("buyer %d: %v", i, errs[i])
		case a.status == http.StatusCreated:
			won++
		case a.status == http.StatusConflict && a.problem().Code == "out_of_stock":
			lost++
		default:
			t.Errorf("buyer %d: %v", i, a)
		}
	}
	if won != copies || lost != buyers-copies {
		t.Errorf("%d orders and %d refusals, want %d and %d", won, lost, copies, buyers-copies)
	}
	if left := c.available(t, b.ID); left != 0 {
		t.Errorf("%d copies left, want 0", left)
	}
	if lines := number(t, leader(t, "orderdb"), "select count(*) from order_items where book_id = $1", b.ID); lines != copies {
		t.Errorf("%d order lines, want %d", lines, copies)
	}
	requireNothingInDoubt(t)
	requireLedgerBalanced(t)
}
