//go:build drill

package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// The size of a chaos.
const (
	chaosGuests  = 12
	chaosTitles  = 8
	chaosPlenty  = 5000 // copies of most books
	chaosFew     = 40   // and of the first two, so that some customers come too late
	chaosSettle  = 2 * time.Minute
	defaultChaos = 20 * time.Second
)

// chaos lets customers read, order, cancel, check out, approve and return while
// instances, whole allocations and PostgreSQL's leader are killed and frozen at random.
// Whatever they are not told they ask again under the same key. In the end the books
// balance. CHAOS_TIME says for how long (default 20s), CHAOS_SEED draws the tricks; on whom
// they are played depends on who is there.
func chaos(t *testing.T) {
	c := newCrowd(t)
	c.suffer(t, tricks)
	c.judgeAll(t)
}

// suffer lets the customers go about, and beside them whoever else is given, while tricks are played, until the
// shop is whole again.
func (c *crowd) suffer(t *testing.T, tricks []trick, beside ...func(ctx context.Context)) {
	t.Helper()
	d, seed := chaosTime(t), chaosSeed(t)
	t.Logf("CHAOS_SEED=%d CHAOS_TIME=%s", seed, d)
	whole := func(ctx context.Context) error { return cluster.Whole(ctx, t) }
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole before the chaos", whole)
	settle, giveUp := context.WithTimeout(t.Context(), d+chaosSettle)
	defer giveUp()
	ctx, stop := context.WithTimeout(settle, d)
	defer stop()
	var guests sync.WaitGroup
	for n := range chaosGuests {
		g := &guest{crowd: c, name: fmt.Sprintf("%s-%d", c.name, n), random: rand.New(rand.NewPCG(seed, uint64(n)))}
		guests.Go(func() { g.run(ctx, settle) })
	}
	for _, other := range beside {
		guests.Go(func() { other(ctx) })
	}
	m := &monkey{t: t, random: rand.New(rand.NewPCG(seed, chaosGuests)), tricks: tricks, kills: map[string]int{}}
	m.run(ctx)
	ended := time.Now()
	guests.Wait()
	t.Logf("all was settled %.1f s after the last trick: %s", time.Since(ended).Seconds(), c.tally.Text())
	shoptest.Eventually(t, 3*time.Minute, "the shop is whole after the chaos", whole)
	t.Logf("the shop was whole %.1f s after the last trick", time.Since(ended).Seconds())
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{shop: shoptest.Shop(t), name: "chaos-" + uuid.NewString()[:8], orders: map[string]bill{}}
	for i := range chaosTitles {
		c.books = append(c.books, c.shop.AddBook(t, fmt.Sprintf("Chaos %d", i), chaosStock(i)).ID)
	}
	return c
}

// chaosStock is how many copies of the ith book there are.
func chaosStock(i int) int64 {
	if i < 2 {
		return chaosFew
	}
	return chaosPlenty
}

func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("CHAOS_TIME")
	if text == "" {
		return defaultChaos
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CHAOS_TIME: %v", err)
	}
	return d
}

func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("CHAOS_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("CHAOS_SEED: %v", err)
	}
	return seed
}

// judgeAll holds the shop, at rest, to all that it told its customers.
func (c *crowd) judgeAll(t *testing.T) {
	t.Helper()
	for _, wrong := range c.wrong {
		t.Error(wrong)
	}
	cluster.RequireNothingInDoubt(t)
	cluster.RequireLedgerBalanced(t)
	c.requireOrders(t)
	c.requireSagasOver(t)
	c.requireMoney(t)
	c.requireMovements(t)
	c.explainCheckouts(t)
	c.history.requireLinearizable(t, c.books, chaosStock)
}

// requireOrders: every acknowledged order is as its customer left it, and there are no others.
func (c *crowd) requireOrders(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for id, b := range c.orders {
		var o shoptest.Order
		a, err := c.shop.Persist(ctx, shoptest.Call{Method: "GET", Path: "/orders/" + id})
		if err == nil {
			err = json.Unmarshal(a.Body, &o)
		}
		if err != nil || a.Status != http.StatusOK || o.Status != b.status || len(o.Items) != len(b.items) {
			t.Errorf("order %s is %v (%v), and was left as %+v", id, a, err, b)
		}
	}
	stored := cluster.Number(t, cluster.Leader(t, "orderdb"), "select count(*) from orders where starts_with(customer_id, $1)", c.name)
	if stored != int64(len(c.orders)) {
		t.Errorf("%d orders are stored, %d were acknowledged", stored, len(c.orders))
	}
}

func (c *crowd) requireSagasOver(t *testing.T) {
	t.Helper()
	conn := cluster.Leader(t, "coordinatordb")
	if stuck := cluster.Number(t, conn, "select count(*) from sagas where state = 'stuck'"); stuck > 0 {
		t.Errorf("%d sagas are stuck", stuck)
	}
	open := cluster.Number(t, conn, `select count(*) from sagas where finished_at is null
		and starts_with(coalesce(data->'order'->>'customerId', data->>'customerId'), $1)`, c.name)
	if open > 0 {
		t.Errorf("%d sagas are not over", open)
	}
}
