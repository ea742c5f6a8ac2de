//go:build e2e

package e2e

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

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// Copies are neither made nor lost: whatever is ordered and cancelled, by many at once, the
// stock and the copies sold are together what they were.
func TestConservationOfCopies(t *testing.T) {
	const (
		clients, operations = 16, 2000
		titles, stock       = 20, 60
		seed                = 20
	)
	c := shoptest.Shop(t)
	books := make([]int64, titles)
	for i := range books {
		books[i] = c.AddBook(t, fmt.Sprintf("Conserved %d", i), stock).ID
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	work := make(chan int)
	var tally shoptest.Tally
	var done sync.WaitGroup
	for n := range clients {
		done.Go(func() {
			w := mixer{shop: c, books: books, random: rand.New(rand.NewPCG(seed, uint64(n))), tally: &tally}
			for range work {
				w.step(ctx, t)
			}
		})
	}
	for i := range operations {
		work <- i
	}
	close(work)
	done.Wait()
	t.Logf("seed %d: %v", seed, tally.Text())

	cluster.RequireNothingInDoubt(t)
	cluster.RequireLedgerBalanced(t)
	orders := cluster.Leader(t, "orderdb")
	for _, id := range books {
		left := c.Available(t, id)
		sold := cluster.Number(t, orders, `
			select coalesce(sum(i.quantity), 0)::bigint from order_items i join orders o on o.id = i.order_id
			where i.book_id = $1 and o.status <> 'cancelled'`, id)
		if left+sold != stock {
			t.Errorf("book %d: %d in stock and %d sold, together not %d", id, left, sold, stock)
		}
	}
}

// mixer is one customer who orders and changes their mind.
type mixer struct {
	shop   *shoptest.Client
	books  []int64
	random *rand.Rand
	tally  *shoptest.Tally
	mine   []string // orders to cancel, cancelled ones among them: twice must change nothing
}

func (m *mixer) step(ctx context.Context, t *testing.T) {
	if len(m.mine) > 0 && m.random.IntN(5) < 2 {
		m.cancel(ctx, t, m.mine[m.random.IntN(len(m.mine))])
		return
	}
	var items []shoptest.OrderItem
	for _, i := range m.random.Perm(len(m.books))[:1+m.random.IntN(4)] {
		items = append(items, shoptest.OrderItem{BookID: m.books[i], Quantity: 1 + m.random.Int64N(3)})
	}
	a, err := m.shop.Persist(ctx, shoptest.Buy("mixer", "mix-"+uuid.NewString(), items...), shoptest.Retriable)
	switch {
	case err != nil:
		t.Errorf("order: %v", err)
	case a.Status == http.StatusCreated:
		var o shoptest.Order
		if err := json.Unmarshal(a.Body, &o); err != nil {
			t.Errorf("order: %v", err)
		}
		m.mine = append(m.mine, o.ID)
		m.tally.Add("ordered")
	case a.Status == http.StatusConflict && a.Problem().Code == "out_of_stock":
		m.tally.Add("out of stock")
	default:
		t.Errorf("order: %v", a)
	}
}

func (m *mixer) cancel(ctx context.Context, t *testing.T, id string) {
	a, err := m.shop.Persist(ctx, shoptest.Call{Method: "POST", Path: "/orders/" + id + "/cancel"}, shoptest.Retriable)
	if err != nil || a.Status != http.StatusOK {
		t.Errorf("cancel %s: %v %v", id, a, err)
		return
	}
	m.tally.Add("cancelled")
}
