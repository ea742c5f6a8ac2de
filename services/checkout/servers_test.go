package checkout_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"bookstore/services/checkout"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/twophase"
)

// separateServers starts a PostgreSQL server for each service, of as many major versions as
// there are on the machine.
func separateServers(t *testing.T) map[string]*pgtest.Instance {
	t.Helper()
	versions, err := pgtest.Binaries()
	if err != nil {
		t.Fatal(err)
	}
	servers := map[string]*pgtest.Instance{}
	for i, service := range []string{"books", "orders", "coordinator"} {
		servers[service] = pgtest.Start(t, pgtest.Options{Bin: versions[i%len(versions)]})
		t.Logf("%s: %s on %s", service, versions[i%len(versions)], servers[service].Addr())
	}
	return servers
}

func TestTransactionsOverServersOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := open(t, options{servers: separateServers(t)})
	s.recovering()
	a, b := s.book("A", 100, 20), s.book("B", 100, 20)
	var buying sync.WaitGroup
	for i := range 12 {
		buying.Go(func() {
			got := s.order(fmt.Sprint("k", i), fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1},{"bookId":%d,"quantity":1}]}`, a, b))
			if i%3 == 0 && got.want(t, http.StatusCreated, "").status == http.StatusCreated {
				var o checkout.Order
				got.read(t, &o)
				s.cancel(o.ID).want(t, http.StatusOK, "")
			}
		})
	}
	buying.Wait()
	s.finished()
	if n := s.number(s.orders, "SELECT count(*) FROM orders"); n != 12 || s.stock(a) != 12 || s.stock(b) != 12 {
		t.Errorf("%d orders, stock %d and %d", n, s.stock(a), s.stock(b))
	}
}

// reconnect drops the pools' connections to a server that was killed, for they would fail the checks.
func (s *shop) reconnect() {
	s.books.Reset()
	s.orders.Reset()
	s.transactions.Reset()
}

// Each of the servers is killed with both branches prepared or about to be:
// the order is placed exactly once after the restart.
func TestAServerKilledWithBranchesPrepared(t *testing.T) {
	t.Parallel()
	servers := separateServers(t)
	var mu sync.Mutex
	var victim string // killed at the next chance
	killed := make(chan struct{})
	kill := func(services ...string) func(twophase.Message) error {
		return func(twophase.Message) error {
			mu.Lock()
			defer mu.Unlock()
			for _, service := range services {
				if service == victim {
					servers[victim].KillNine(t)
					victim = ""
					close(killed)
				}
			}
			return nil
		}
	}
	// The coordinator's goes between the claim and the decision, the others between that and the commit.
	s := open(t, options{
		servers: servers,
		books:   faults{prepare: kill("coordinator"), commit: kill("books", "orders")},
	})
	s.recovering()
	b := s.book("A", 100, 5)
	for i, service := range []string{"books", "orders", "coordinator"} {
		mu.Lock()
		victim, killed = service, make(chan struct{})
		mu.Unlock()
		answered := make(chan answer, 1)
		go func() { answered <- s.buy(service, b, 1) }()
		<-killed
		servers[service].Restart(t)
		first := <-answered
		s.eventually(service+" is back", func() bool {
			a := s.buy(service, b, 1)
			return a.status == http.StatusCreated && (first.status != http.StatusCreated || a.text == first.text)
		})
		s.reconnect()
		s.finished()
		if stock := s.stock(b); stock != int64(4-i) {
			t.Errorf("%s: stock %d", service, stock)
		}
	}
}

// The server that holds prepared branches crashes, and so does the coordinator. The
// branches are still prepared after the restart, and are finished by the next coordinator.
func TestPreparedBranchesOutliveTheirServer(t *testing.T) {
	t.Parallel()
	o := options{closed: true, servers: separateServers(t)}
	s := open(t, o)
	s.recovering()
	committed, aborted := s.book("committed", 100, 5), s.book("aborted", 100, 5)
	s.abandoned("c", committed, true)
	s.abandoned("a", aborted, false)
	for _, service := range []string{"books", "coordinator"} {
		o.servers[service].KillNine(t)
	}
	s.begin("one", &o)
	for _, service := range []string{"books", "coordinator"} {
		o.servers[service].Restart(t)
	}
	s.within(doubtLimit, "no branch is in doubt", func() bool {
		var n int64
		err := s.books.QueryRow(t.Context(), allPrepared).Scan(&n)
		return err == nil && n == 0 && s.number(s.orders, allPrepared) == 0
	})
	s.reconnect()
	s.finished()
	if s.stock(committed) != 4 || s.stock(aborted) != 5 {
		t.Errorf("stock %d and %d", s.stock(committed), s.stock(aborted))
	}
}
