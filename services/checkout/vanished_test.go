package checkout_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/checkout"
	"bookstore/services/platform/config"
	"bookstore/services/platform/dial/blackhole"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
)

// served is how long an order may take whose database's leader vanished, or
// whose coordinator hangs.
const served = 30 * time.Second

// An attempt that hangs in a call that ignores its deadline loses
// its lease: another coordinator carries it out.
func TestAnAttemptThatHangsIsTakenOver(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	over := make(chan struct{})
	hung := s.coordinator("hung", &options{books: faults{commit: func(twophase.Message) error {
		<-over
		return nil
	}}})
	t.Cleanup(func() { close(over) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := hung.PlaceOrder(ctx, checkout.PlaceOrder{Key: s.key("k"), Request: checkout.OrderRequest{
		CustomerID: "c-1", Items: []checkout.RequestItem{{BookID: b, Quantity: 1}},
	}}); err == nil {
		t.Error("an order was acknowledged whose branch hangs")
	}
	s.until(served, "the other coordinator takes the attempt over", func() bool {
		tx, err := s.service.Transactions.Transaction(t.Context(), s.gid("k"))
		return err == nil && tx.State == twophase.Committed && tx.Owner == "one"
	})
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
}

// succession is the coordinator's database on a leader that can vanish and on
// the standby that is promoted then.
type succession struct {
	leader, standby *pgtest.Instance
	peer            *blackhole.Proxy
	pool            *pgxpool.Pool // finds whichever leads, the first past the proxy
	once            sync.Once
}

func newSuccession(t *testing.T) *succession {
	t.Helper()
	c := &succession{leader: pgtest.Start(t, pgtest.Options{})}
	dsn := c.leader.DSN(t, txnpg.Migrations)
	c.standby = pgtest.Start(t, pgtest.Options{Follow: c.leader})
	c.peer = blackhole.New(t, c.leader.Addr())
	members := filepath.Join(t.TempDir(), "members")
	if err := os.WriteFile(members, []byte(c.peer.Addr()+"\n"+c.standby.Addr()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	c.pool, err = pg.Open(context.Background(), pg.Config{DSN: config.Secret(dsn), MembersFile: members, MaxConns: 8}, "coordinator", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.pool.Close)
	return c
}

// vanish silences the leader and promotes the standby, once that has all that
// the leader had.
func (c *succession) vanish(s *shop) {
	c.once.Do(func() {
		var at string
		if err := c.leader.Conn(s.t, "postgres").QueryRow(context.Background(), "SELECT pg_current_wal_lsn()::text").Scan(&at); err != nil {
			s.t.Error(err)
			return
		}
		standby := c.standby.Conn(s.t, "postgres")
		s.until(served, "the standby has what the leader had", func() bool {
			var there bool
			err := standby.QueryRow(context.Background(), "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", at).Scan(&there)
			return err == nil && there
		})
		c.peer.Vanish(s.t)
		if _, err := standby.Exec(context.Background(), "SELECT pg_promote()"); err != nil {
			s.t.Error(err)
		}
	})
}

// The leader of the coordinator's database vanishes without a packet and stays
// away, at each stage of an order: it is served by the new leader, and no
// attempt stays unfinished.
func TestALeaderThatVanishesHoldsNoOrder(t *testing.T) {
	t.Parallel()
	for stage, where := range map[string]func(o *options, vanish func(twophase.Message) error){
		"before the decision": func(o *options, vanish func(twophase.Message) error) { o.orders.prepare = vanish },
		"after the decision":  func(o *options, vanish func(twophase.Message) error) { o.books.commit = vanish },
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			var s *shop
			c := newSuccession(t)
			o := options{transactions: c.pool}
			where(&o, func(twophase.Message) error {
				c.vanish(s)
				return nil
			})
			o.closed = true
			s = open(t, o)
			o.closed = false
			s.begin("one", &o)
			s.coordinator("two", &options{transactions: c.pool})
			b := s.book("A", 100, 9)
			began := time.Now()
			s.until(served, "the order is served", func() bool { return s.buy("k", b, 1).status == http.StatusCreated })
			t.Logf("served after %s", time.Since(began))
			for key := range strings.FieldsSeq("l m n") { // who come after
				s.until(served-time.Since(began), "the next order is served", func() bool { return s.buy(key, b, 1).status == http.StatusCreated })
			}
			s.until(served-time.Since(began), "no attempt is unfinished", func() bool {
				return s.number(c.pool, "SELECT count(*) FROM transactions WHERE state IN ('preparing', 'committing')") == 0
			})
			if left := s.stock(b); left != 5 {
				t.Errorf("%d copies are left of 9, 4 were sold", left)
			}
		})
	}
}

// A participant vanishes for one coordinator alone, in the middle of a commit:
// the other one, which reaches it, carries the attempt out.
func TestAParticipantSilentForOneCoordinatorIsReachedByTheOther(t *testing.T) {
	t.Parallel()
	s := open(t, options{closed: true})
	reached := s.booksURL
	peer := blackhole.New(t, strings.TrimPrefix(reached, "http://"))
	s.booksURL = "http://" + peer.Addr()
	var once sync.Once
	s.begin("one", &options{books: faults{commit: func(twophase.Message) error {
		once.Do(func() { peer.Vanish(t) })
		return nil
	}}})
	s.booksURL = reached
	s.coordinator("two", &options{})
	b := s.book("A", 100, 5)
	began := time.Now()
	a := s.buy("k", b, 1)
	t.Logf("answered %d %s after %s", a.status, a.text, time.Since(began))
	s.until(served, "the attempt is carried out", func() bool {
		tx, err := s.service.Transactions.Transaction(t.Context(), s.gid("k"))
		return err == nil && tx.State == twophase.Committed
	})
	t.Logf("carried out after %s", time.Since(began))
	if left := s.stock(b); left != 4 {
		t.Errorf("%d copies are left of 5, 1 was sold", left)
	}
}
