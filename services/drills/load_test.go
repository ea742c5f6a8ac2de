//go:build drill

package drills

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// load is all requests to the shop and its database during a drill: orders, and reads of what is
// bought, of books in the gateways' memory, and of lists that come from replicas.
type load struct {
	shop   *shoptest.Load
	orders shoptest.Stream
	cached []int64 // books that nobody buys, so that they stay cached

	// Clients of the database; nil where the scenario has none.
	writers *writers
	readers *readers
	deposed *deposed

	stop  context.CancelFunc
	done  sync.WaitGroup
	until time.Time // when it ended
}

// The size of the load.
const (
	boughtBooks   = 20
	cachedBooks   = 4
	copies        = 100_000
	ordersEvery   = 200 * time.Millisecond
	busyEvery     = 100 * time.Millisecond // orders in a scenario with a burst
	mixedEvery    = 100 * time.Millisecond
	cachedEvery   = 50 * time.Millisecond
	listsEvery    = 100 * time.Millisecond
	burstSize     = 24                    // orders at once
	burstLead     = 50 * time.Millisecond // they are under way then: one alone takes as long, the last of a burst several times that
	mostOrders    = 128                   // in flight at most, while no outcome is known
	orderPatience = 10 * time.Second      // for the answer to one request
)

// cachedReads is the kind of reads of books that lie in the gateways' memory.
const cachedReads = "cached book"

// maxDrill bounds a load whose drill hangs, beside the time for which a host is silent.
const maxDrill = 15 * time.Minute

func startLoad(t *testing.T, c scenario, leader cluster.Member, all []cluster.Member) *load {
	t.Helper()
	l := &load{shop: shoptest.NewLoad(t, boughtBooks, copies), stop: func() {}}
	l.shop.Shop.HTTP.Timeout = orderPatience
	for i := range cachedBooks {
		id := l.shop.Shop.AddBook(t, fmt.Sprintf("Cached %d", i), copies).ID
		l.cached = append(l.cached, id)
		for range 3 {
			l.shop.Shop.GetBook(t, id)
		}
	}
	if c.bars.replicaReads > 0 {
		l.watchDatabase(t, leader, all)
	}
	l.orders = l.shop.Orders(ordersEvery, true)
	if c.burst {
		l.orders.Every = busyEvery
	}
	l.orders.Most = mostOrders
	streams := []shoptest.Stream{l.orders, l.mixed(), l.cachedBooks(), l.lists()}
	if c.reads > 0 {
		streams = append(streams, l.shop.Reads(c.reads))
	}
	l.shop.Start(t, streams...)
	return l
}

// watchDatabase starts the clients of the database.
func (l *load) watchDatabase(t *testing.T, leader cluster.Member, all []cluster.Member) {
	t.Helper()
	a := newAccess(t, all)
	l.writers, l.readers, l.deposed = newWriters(t, a), newReaders(a, all), newDeposed(t, a, leader)
	var ctx context.Context
	ctx, l.stop = context.WithTimeout(t.Context(), maxDrill+away(t))
	t.Cleanup(func() { l.stop(); l.done.Wait() })
	for _, run := range []func(context.Context){a.follow, l.writers.run, l.readers.run} {
		l.done.Go(func() { run(ctx) })
	}
}

// mixed are reads of what orders change: a book, its copies, a page of books, the last order.
func (l *load) mixed() shoptest.Stream {
	return shoptest.Stream{Kind: shoptest.Another, Every: mixedEvery, Want: http.StatusOK, Call: func(n int) shoptest.Call {
		path := shoptest.BookPath(l.shop.Books[n%boughtBooks])
		switch n % 4 {
		case 1:
			path += "/availability"
		case 2:
			path = "/books?limit=5"
		case 3:
			if acks := l.shop.Acks(); len(acks) > 0 {
				path = acks[len(acks)-1].Path
			}
		}
		return shoptest.Call{Method: http.MethodGet, Path: path}
	}}
}

func (l *load) cachedBooks() shoptest.Stream {
	return shoptest.Stream{Kind: cachedReads, Every: cachedEvery, Want: http.StatusOK, Call: func(n int) shoptest.Call {
		return shoptest.Call{Method: http.MethodGet, Path: shoptest.BookPath(l.cached[n%cachedBooks])}
	}}
}

// lists read books that no cache has: replicas answer them.
func (l *load) lists() shoptest.Stream {
	return shoptest.Stream{Kind: shoptest.Lists, Every: listsEvery, Want: http.StatusOK, Call: func(n int) shoptest.Call {
		return shoptest.Call{Method: http.MethodGet, Path: fmt.Sprintf("/books?author=%s-%d&limit=1", l.shop.Customer, n)}
	}}
}

// burst has a burst of orders under way when it returns.
func (l *load) burst() {
	l.shop.Burst(l.orders, burstSize)
	time.Sleep(burstLead)
}

// finish ends the load; orders under way are repeated until their outcomes are known.
func (l *load) finish() {
	l.until = time.Now()
	l.stop()
	l.shop.Finish()
	l.done.Wait()
}
