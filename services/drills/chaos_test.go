//go:build drill

package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// The size of a chaos.
const (
	chaosCustomers = 12
	chaosTitles    = 8
	chaosPlenty    = 5000 // copies of most books
	chaosFew       = 40   // and of the first two, so that some customers come too late
	chaosDrain     = 2 * time.Minute
	defaultChaos   = 20 * time.Second
)

// chaos lets customers read, order, cancel, check out, approve and return while instances, whole
// allocations and PostgreSQL's leader are killed and frozen at random. A request whose outcome is
// unknown is repeated under the same key. In the end the books balance. CHAOS_TIME says for how
// long (default 20s), CHAOS_SEED draws the disruptions; which instance is hit depends on what runs.
func chaos(t *testing.T) {
	c := newCustomers(t)
	c.run(t, disruptions)
	c.judgeAll(t)
}

// run lets the customers make their requests, and runs beside them what else is given, while disruptions are injected.
// It returns when the shop is whole again.
func (c *customers) run(t *testing.T, disruptions []disruption, beside ...func(ctx context.Context)) {
	t.Helper()
	d, seed := chaosTime(t), chaosSeed(t)
	t.Logf("CHAOS_SEED=%d CHAOS_TIME=%s", seed, d)
	whole := func(ctx context.Context) error { return cluster.Whole(ctx, t) }
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole before the chaos", whole)
	requests, giveUp := context.WithTimeout(t.Context(), d+chaosDrain)
	defer giveUp()
	ctx, stop := context.WithTimeout(requests, d)
	defer stop()
	var running sync.WaitGroup
	for n := range chaosCustomers {
		g := &customer{customers: c, name: fmt.Sprintf("%s-%d", c.name, n), random: rand.New(rand.NewPCG(seed, uint64(n)))}
		running.Go(func() { g.run(ctx, requests) })
	}
	for _, other := range beside {
		running.Go(func() { other(ctx) })
	}
	m := &injector{t: t, random: rand.New(rand.NewPCG(seed, chaosCustomers)), disruptions: disruptions, kills: map[string]int{}}
	m.run(ctx)
	ended := time.Now()
	running.Wait()
	t.Logf("all outcomes were known %.1f s after the last disruption: %s", time.Since(ended).Seconds(), c.tally.Text())
	shoptest.Eventually(t, 3*time.Minute, "the shop is whole after the chaos", whole)
	t.Logf("the shop was whole %.1f s after the last disruption", time.Since(ended).Seconds())
}

func newCustomers(t *testing.T) *customers {
	t.Helper()
	c := &customers{shop: shoptest.Shop(t), name: "chaos-" + uuid.NewString()[:8], orders: map[string]bill{}}
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

// judgeAll checks the shop, at rest, against all that customers were answered.
func (c *customers) judgeAll(t *testing.T) {
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
func (c *customers) requireOrders(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for id, b := range c.orders {
		var o shoptest.Order
		a, err := c.shop.Persist(ctx, shoptest.Call{Method: "GET", Path: "/orders/" + id}, shoptest.Retriable)
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

func (c *customers) requireSagasOver(t *testing.T) {
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

// injector disrupts the running shop, one disruption after the other. It thaws what it froze.
type injector struct {
	t           *testing.T
	random      *rand.Rand
	disruptions []disruption
	kills       map[string]int // of each allocation
}

// disruption is a way to harm the shop.
type disruption struct {
	name   string
	odds   int
	inject func(ctx context.Context, m *injector) (what string, err error)
}

// chaosJobs are those whose instances are harmed; each has two.
var chaosJobs = []string{"coordinator", "books", "orders", "payments"}

var disruptions = []disruption{
	{"kill an instance", 6, func(ctx context.Context, m *injector) (string, error) {
		p, err := m.instance(ctx)
		if err != nil {
			return "", err
		}
		return m.kill(p)
	}},
	{"freeze an instance", 6, func(ctx context.Context, m *injector) (string, error) {
		p, err := m.instance(ctx)
		if err != nil {
			return "", err
		}
		return m.freeze(ctx, p)
	}},
	{"stop an allocation", 1, func(ctx context.Context, m *injector) (string, error) {
		return m.order(ctx, "stop", func(a *nomad.Allocation, q *nomad.QueryOptions) error {
			_, err := cluster.Nomad(m.t).Allocations().Stop(a, q)
			return err
		})
	}},
	{"restart an allocation", 1, func(ctx context.Context, m *injector) (string, error) {
		return m.order(ctx, "restart", func(a *nomad.Allocation, q *nomad.QueryOptions) error {
			return cluster.Nomad(m.t).Allocations().Restart(a, "", q)
		})
	}},
	{"kill the leader", 1, func(ctx context.Context, m *injector) (string, error) {
		p, err := m.leader(ctx)
		if err != nil {
			return "", err
		}
		return m.kill(p)
	}},
	{"freeze the leader", 2, func(ctx context.Context, m *injector) (string, error) {
		p, err := m.leader(ctx)
		if err != nil {
			return "", err
		}
		return m.freeze(ctx, p)
	}},
}

// target is an allocation that is harmed.
type target struct{ job, id string }

// container is the name that Nomad gives to the container of the allocation's main task.
func (p target) container() string { return cluster.Container(p.job, p.id) }

// mostKills is below what Nomad restarts at once: more, and it waits for a minute or two.
const mostKills = 3

// instance draws an allocation of a service.
func (m *injector) instance(ctx context.Context) (target, error) {
	job := chaosJobs[m.random.IntN(len(chaosJobs))]
	running, err := cluster.Allocations(ctx, m.t, job)
	if err != nil || len(running) == 0 {
		return target{}, fmt.Errorf("%d of %s run: %w", len(running), job, err)
	}
	return target{job, running[m.random.IntN(len(running))].ID}, nil
}

// leader is PostgreSQL's, while none of its standbys is missing: with fewer than two,
// nothing would be acknowledged for as long as one takes to come back.
func (m *injector) leader(ctx context.Context) (target, error) {
	if err := cluster.PostgresWhole(ctx, m.t); err != nil {
		return target{}, err
	}
	list, err := cluster.Members(ctx, m.t)
	if err != nil {
		return target{}, err
	}
	for _, p := range list {
		if p.Leads() && p.Alloc != "" {
			return target{"patroni", p.Alloc}, nil
		}
	}
	return target{}, errors.New("there is no leader")
}

// order has Nomad do something about an allocation.
func (m *injector) order(ctx context.Context, verb string, do func(*nomad.Allocation, *nomad.QueryOptions) error) (string, error) {
	p, err := m.instance(ctx)
	if err != nil {
		return "", err
	}
	options := (&nomad.QueryOptions{}).WithContext(ctx)
	alloc, _, err := cluster.Nomad(m.t).Allocations().Info(p.id, options)
	if err != nil {
		return "", err
	}
	return verb + " " + p.container(), do(alloc, options)
}

func (m *injector) kill(p target) (string, error) {
	if m.kills[p.id] >= mostKills {
		return "", fmt.Errorf("%s has been killed %d times", p.container(), mostKills)
	}
	m.kills[p.id]++
	_, err := cluster.Kill(nil, p.container())
	return "kill " + p.container(), err
}

// freeze stops every process of a container where it is, for one to five seconds.
func (m *injector) freeze(ctx context.Context, p target) (string, error) {
	frozen, err := cluster.Freeze(p.container())
	defer frozen.Thaw()
	if err != nil {
		return "", err
	}
	d := time.Second + time.Duration(m.random.Int64N(int64(4*time.Second)))
	shoptest.Rest(ctx, d)
	return fmt.Sprintf("freeze %s for %.1f s", p.container(), d.Seconds()), nil
}

// run injects disruptions until ctx ends; then nothing is frozen any more.
func (m *injector) run(ctx context.Context) {
	var weighted []disruption
	for _, k := range m.disruptions {
		for range k.odds {
			weighted = append(weighted, k)
		}
	}
	start := time.Now()
	for ctx.Err() == nil {
		k, at := weighted[m.random.IntN(len(weighted))], time.Since(start).Seconds()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), disruptionLimit)
		what, err := k.inject(bounded, m)
		cancel()
		if err != nil {
			what = fmt.Sprintf("failed to %s: %v", k.name, err)
		}
		m.t.Logf("%5.1f s: %s", at, what)
		shoptest.Rest(ctx, time.Second+time.Duration(m.random.Int64N(int64(3*time.Second))))
	}
}

// disruptionLimit bounds one disruption.
const disruptionLimit = 20 * time.Second
