//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
)

// sample is one request of a watched load: when it was sent, how long it took, which cache
// answered, and what was wrong with its answer, if anything.
type sample struct {
	at    time.Time
	took  time.Duration
	from  string
	wrong string
}

// watched is a load of which every answer's time counts: reads of single books at a steady
// rate, and orders beside them.
type watched struct {
	shop  *shoptest.Client
	books []int64
	stop  context.CancelFunc
	done  chan struct{}

	mu     sync.Mutex
	reads  []sample
	orders []sample
}

func startWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{shop: shoptest.Shop(t), done: make(chan struct{})}
	for i := range 30 {
		w.books = append(w.books, w.shop.AddBook(t, fmt.Sprintf("Watched %d", i), 100_000).ID)
	}
	ctx, stop := context.WithTimeout(t.Context(), maxLoad)
	w.stop = stop
	go w.run(ctx)
	t.Cleanup(func() { w.stop(); <-w.done })
	return w
}

// run sends 100 reads a second, and ten orders.
func (w *watched) run(ctx context.Context) {
	defer close(w.done)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var flying sync.WaitGroup
	defer flying.Wait()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		book := w.books[n%len(w.books)]
		flying.Go(func() {
			w.send(&w.reads, http.StatusOK, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", book)})
		})
		if n%10 == 0 {
			flying.Go(func() {
				w.send(&w.orders, http.StatusCreated, shoptest.Buy("watched", "watched-"+uuid.NewString(), shoptest.OrderItem{BookID: book, Quantity: 1}))
			})
		}
	}
}

// send is not cancelled when the load ends: what was sent is judged.
func (w *watched) send(list *[]sample, want int, k shoptest.Call) {
	s := sample{at: time.Now()}
	a, err := w.shop.Try(context.Background(), k)
	s.took = time.Since(s.at)
	if err != nil {
		s.wrong = err.Error()
	} else if s.from = a.Header.Get("X-Cache"); a.Status != want {
		s.wrong = a.String()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, s)
}

// more waits until n more reads were answered.
func (w *watched) more(t *testing.T, n int) {
	t.Helper()
	answered := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.reads)
	}
	until := answered() + n
	shoptest.Eventually(t, time.Minute, fmt.Sprintf("%d more reads", n), func(context.Context) error {
		if now := answered(); now < until {
			return fmt.Errorf("%d to go", until-now)
		}
		return nil
	})
}

// between ends the load and returns what was sent in a stretch of time, by how long it took.
func (w *watched) between(from, to time.Time) (reads, orders []sample) {
	w.stop()
	<-w.done
	within := func(list []sample) (found []sample) {
		for _, s := range list {
			if !s.at.Before(from) && s.at.Before(to) {
				found = append(found, s)
			}
		}
		slices.SortFunc(found, func(a, b sample) int { return int(a.took - b.took) })
		return found
	}
	return within(w.reads), within(w.orders)
}

func requireRight(t *testing.T, what string, samples []sample) {
	t.Helper()
	var wrong []string
	for _, s := range samples {
		if s.wrong != "" {
			wrong = append(wrong, s.at.UTC().Format("15:04:05.000 ")+s.wrong)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d of %d %s failed, such as\n%s", len(wrong), len(samples), what, strings.Join(wrong[:min(10, len(wrong))], "\n"))
	}
}

// What a customer may notice of a master's death: nothing, but a slower order.
const (
	failoverTime  = 5 * time.Second // from the kill until a replica serves
	failoverReads = time.Second     // 50 ms is the aim; seen on two cores, where a container starts again meanwhile: 9 to 330 ms
	failoverOrder = 3 * time.Second // an order may wait 1.3 s for its announcement, on top of what it takes
)

func TestRedisMasterKilled(t *testing.T) {
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole", func(ctx context.Context) error { return shopIsWhole(ctx, t) })
	victim := newVictim(t, "redis", redisMaster(t, rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))))
	died := masterOf(t, victim.id)
	w := startWatched(t)
	w.more(t, 300)

	killed := time.Now()
	victim.kill(t)
	shoptest.Eventually(t, failoverTime, "the replica is promoted", func(ctx context.Context) error { return replaced(ctx, t, died) })
	t.Logf("a replica serves the dead master's slots after %.1f s", time.Since(killed).Seconds())
	shoptest.Eventually(t, time.Minute, "the dead node is back as a replica", func(ctx context.Context) error {
		if err := victim.restarted(ctx); err != nil {
			return err
		}
		return errors.Join(redisIsWhole(ctx, t), replaced(ctx, t, died))
	})
	healed := time.Now()
	t.Logf("whole after %.1f s", healed.Sub(killed).Seconds())
	w.more(t, 300)

	reads, orders := w.between(killed, healed.Add(2*time.Second))
	requireRight(t, "reads", reads)
	requireRight(t, "orders", orders)
	p99, slowest := reads[len(reads)*99/100].took, orders[len(orders)-1].took
	t.Logf("%d reads, p99 %s, slowest %s; %d orders, slowest %s", len(reads), p99, reads[len(reads)-1].took, len(orders), slowest)
	for _, r := range reads[len(reads)*99/100:] {
		t.Logf("a read %.2f s after the kill, from %q, took %s", r.at.Sub(killed).Seconds(), r.from, r.took)
	}
	if p99 > failoverReads {
		t.Errorf("the p99 of reads was %s, allowed is %s", p99, failoverReads)
	}
	if slowest > failoverOrder {
		t.Errorf("an order took %s, allowed is %s", slowest, failoverOrder)
	}
	requireNothingInDoubt(t)
}

// masterOf is the address of the node that an allocation runs.
func masterOf(t *testing.T, allocation string) string {
	t.Helper()
	entries, err := healthy(t.Context(), t, "redis", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Service.ID, allocation) {
			return hostPort(e)
		}
	}
	t.Fatalf("allocation %s is not in Consul", allocation)
	return ""
}

// replaced is nil once no slots are left with the node at this address.
func replaced(ctx context.Context, t *testing.T, died string) error {
	t.Helper()
	entries, err := healthy(ctx, t, "redis", "")
	if err != nil {
		return err
	}
	password, err := redisPassword(ctx, t)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if hostPort(e) == died {
			continue
		}
		client := redisAt(hostPort(e), password)
		slots, err := slotsOf(ctx, client)
		client.Close()
		if err != nil {
			return err
		}
		for _, s := range slots {
			if s.Nodes[0].Addr == died {
				return fmt.Errorf("%s takes %s for a master", hostPort(e), died)
			}
		}
	}
	return nil
}

// Without any Redis the shop serves from its services, and what is cached comes back with it.
func TestAllRedisGone(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(t *testing.T, running []*nomad.AllocationListStub)
	}{
		{"and back in place", killAll},
		{"and back on new ports", stopAll},
	} {
		t.Run(c.name, func(t *testing.T) {
			shoptest.Eventually(t, 2*time.Minute, "the shop is whole", func(ctx context.Context) error { return shopIsWhole(ctx, t) })
			waitDeployed(t, "redis")
			l := startLoad(t, besideOthers)
			l.more(t, 100)
			ended := time.Now()
			c.end(t, runningAllocations(t, "redis"))
			shoptest.Eventually(t, 2*time.Minute, "Redis is whole again", func(ctx context.Context) error { return redisIsWhole(ctx, t) })
			t.Logf("whole after %.1f s", time.Since(ended).Seconds())
			l.more(t, 150)
			l.requireNoFailure(t)
			requireCached(t, l.books[0])
			requireNothingInDoubt(t)
		})
	}
}

func killAll(t *testing.T, running []*nomad.AllocationListStub) {
	t.Helper()
	args := []string{"kill"}
	for _, a := range running {
		args = append(args, "redis-"+a.ID)
	}
	if out, err := exec.CommandContext(t.Context(), "docker", args...).CombinedOutput(); err != nil {
		t.Fatalf("docker %v: %v\n%s", args, err, out)
	}
}

// stopAll has Nomad replace all nodes at once: each gets new ports.
func stopAll(t *testing.T, running []*nomad.AllocationListStub) {
	t.Helper()
	for _, a := range running {
		if _, err := nomadClient(t).Allocations().Stop(&nomad.Allocation{ID: a.ID}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// requireCached: what was read once comes from a cache.
func requireCached(t *testing.T, book int64) {
	t.Helper()
	c := shoptest.Shop(t)
	shoptest.Eventually(t, 20*time.Second, "reads are cached", func(context.Context) error {
		a := c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", book)}, nil)
		if from := a.Header.Get("X-Cache"); from != "near" && from != "shared" {
			return fmt.Errorf("X-Cache is %q", from)
		}
		return nil
	})
}
