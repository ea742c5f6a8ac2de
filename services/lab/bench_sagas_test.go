//go:build bench

package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/lab"
)

// purchase makes the checkout a saga of two steps: those that do what the two
// branches of an order do. Everything else is the shop's own.
const purchase = `package checkout

import "bookstore/services/txn/saga"

func init() {
	Checkout = saga.Define("checkout",
		saga.StepOf[checkout]{Name: "reserve_stock", At: BranchBooks, Undo: true, Send: func(c checkout) any {
			return stepLines{c.Order.ID, reserveLines(c.Order.Items)}
		}},
		saga.StepOf[checkout]{Name: createOrder, At: BranchOrders, Undo: true, Send: func(c checkout) any {
			return stepCreate{c.Order}
		}},
	)
}
`

// follower polls the ends of all sagas in one query, so that waiting for one
// costs the measured processes next to nothing.
type follower struct {
	mu      sync.Mutex
	waiting map[string]chan<- string // by saga: receives the final state
}

// pollEvery is how late the end of a saga may be noticed.
const pollEvery = 5 * time.Millisecond

func followSagas(t *testing.T, s *lab.Shop) *follower {
	t.Helper()
	f := &follower{waiting: map[string]chan<- string{}}
	conn := s.Server(lab.CoordinatorDB).Conn(t, lab.CoordinatorDB)
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			if err := f.poll(ctx, conn); err != nil && ctx.Err() == nil {
				t.Errorf("follow sagas: %v", err)
				return
			}
		}
	})
	t.Cleanup(func() { stop(); following.Wait() })
	return f
}

// poll reads the states of the sagas that are waited for.
func (f *follower) poll(ctx context.Context, conn *pgx.Conn) error {
	f.mu.Lock()
	ids := make([]string, 0, len(f.waiting))
	for id := range f.waiting {
		ids = append(ids, id)
	}
	f.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, "select id::text, state from sagas where id = any($1::uuid[]) and finished_at is not null", ids)
	if err != nil {
		return err
	}
	var id, state string
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waiting[id] <- state
		delete(f.waiting, id)
		return nil
	})
	return err
}

func (f *follower) wait(ctx context.Context, id string) error {
	end := make(chan string, 1)
	f.mu.Lock()
	f.waiting[id] = end
	f.mu.Unlock()
	select {
	case state := <-end:
		if state != "completed" {
			return fmt.Errorf("saga %s is %s", id, state)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("saga %s has not ended: %w", id, ctx.Err())
	}
}

// clients are n customers who each wait for their purchase to be completed
// before they begin the next.
func (f *follower) clients(n int, b *buyer) []work {
	all := make([]work, n)
	for i := range all {
		all[i] = func(ctx context.Context) error {
			body := fmt.Sprintf(`{"customerId":"customer-%d","items":[{"bookId":%d,"quantity":1}],"payment":{"method":"card","token":"tok_ok"}}`, i, anyBook())
			answer, err := b.post("/checkouts", body, http.StatusAccepted)
			if err != nil {
				return err
			}
			var begun struct{ ID string }
			if err := json.Unmarshal(answer, &begun); err != nil {
				return err
			}
			return f.wait(ctx, begun.ID)
		}
	}
	return all
}

// Sagas are begun at once: how many, and how often, so that both sizes
// have their p99 of about as many.
const (
	manySagas, manyBursts = 512, 2
	fewSagas, fewBursts   = most, 16
)

// sagasAtOnce compares sagas of which 512 are begun at once with 32.
func sagasAtOnce(t *testing.T, table *report, f *follower, b *buyer) {
	t.Helper()
	few, many := table.row("sagas begun at once", fewSagas), table.row("sagas begun at once", manySagas)
	for range manyBursts {
		for range fewBursts / manyBursts {
			burst(t, few, f.clients(fewSagas, b))
		}
		burst(t, many, f.clients(manySagas, b))
	}
	figure("saga_p99_512_over_32", "%.2f", float64(many.quantile(.99))/float64(few.quantile(.99)))
	figure("saga_rate_512_over_32", "%.2f", many.rate()/few.rate())
}
