package cut_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/patroni"
	"bookstore/services/checkout"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
	"bookstore/warehouse/cut"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// shop is two databases that distributed transactions change together, with a
// coordinator's, on a leader and two standbys.
type shop struct {
	*testing.T
	leader   *pgtest.Instance
	standbys []standby
	source   cut.Source
	store    *txnpg.Store
	parts    []*pgxpool.Pool // of the two
	next     atomic.Int64
}

type standby struct {
	*pgtest.Instance

	conn *pgx.Conn
}

var names = []string{"bookdb", "orderdb"}

func newShop(t *testing.T) *shop {
	t.Helper()
	t.Parallel()
	s := &shop{T: t, leader: pgtest.Start(t, pgtest.Options{Settings: []string{"max_prepared_transactions=50", "log_min_messages=panic"}})}
	for range 2 {
		// Whoever reads what the leader has removed is ended soon.
		settings := []string{"max_standby_streaming_delay=300ms"}
		one := pgtest.Start(t, pgtest.Options{Follow: s.leader, Settings: settings})
		s.standbys = append(s.standbys, standby{one, one.Conn(t, "postgres")})
	}
	connect := func(ctx context.Context, database string) (*pgx.Conn, error) {
		return pgx.Connect(ctx, s.leader.URL(database))
	}
	passwords := map[string]string{}
	for _, login := range patroni.Logins(patroni.Databases(), patroni.Guests()) {
		passwords[login] = login
	}
	if _, err := patroni.Declare(t.Context(), connect, patroni.Databases(), patroni.Guests(), passwords); err != nil {
		t.Fatal(err)
	}
	s.source = cut.Source{
		Config: pg.Config{
			DSN:         config.Secret("postgres://warehouse@/coordinatordb?sslmode=disable"),
			MembersFile: filepath.Join(t.TempDir(), "members"), MaxConns: 1,
		},
		Databases: append([]string{"coordinatordb"}, names...), Coordinator: "coordinatordb",
	}
	members := strings.Join([]string{s.leader.Addr(), s.standbys[0].Addr(), s.standbys[1].Addr()}, "\n")
	if err := os.WriteFile(s.source.Config.MembersFile, []byte(members), 0o600); err != nil {
		t.Fatal(err)
	}
	owner, err := pgx.ParseConfig(s.leader.URL("coordinatordb"))
	if err == nil {
		_, err = pg.Migrate(t.Context(), owner, txnpg.Migrations)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.store = txnpg.New(s.pool("coordinatordb"), twophase.DefaultSettings("test"))
	for _, name := range names {
		pool := s.pool(name)
		if _, err := pool.Exec(t.Context(), "create table changes (gid text primary key)"); err != nil {
			t.Fatal(err)
		}
		s.parts = append(s.parts, pool)
	}
	s.replicate()
	return s
}

// replicate waits until every standby shows what the leader has by now.
func (s *shop) replicate() {
	s.Helper()
	s.reach(len(s.standbys))
}

// reach waits until so many of the standbys do.
func (s *shop) reach(wanted int) {
	s.Helper()
	var place string
	if err := s.parts[0].QueryRow(s.Context(), "select pg_current_wal_lsn()::text").Scan(&place); err != nil {
		s.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for reached := 0; reached < wanted; <-tick.C {
		reached = 0
		for _, standby := range s.standbys {
			var there bool
			if err := standby.conn.QueryRow(s.Context(), "select pg_last_wal_replay_lsn() >= $1::pg_lsn", place).Scan(&there); err != nil {
				s.Fatal(err)
			}
			if there {
				reached++
			}
		}
	}
}

func (s *shop) pool(name string) *pgxpool.Pool {
	s.Helper()
	pool, err := pgxpool.New(s.Context(), s.leader.URL(name))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(pool.Close)
	return pool
}

// transact makes one change in both databases, in two phases; unfinished
// leaves it decided.
func (s *shop) transact(ctx context.Context, unfinished bool) error {
	tx, _, err := s.store.Claim(ctx, twophase.Claim{
		Kind: checkout.KindPlace, Caller: "c", Key: fmt.Sprint(s.next.Add(1)), RequestHash: []byte{1},
		Branches: names, Payload: []byte(`{"orderId":"o"}`),
	}, 1, "me")
	if err != nil {
		return err
	}
	for i, part := range s.parts {
		sql := fmt.Sprintf("begin; insert into changes values ('%s'); prepare transaction '%s.%s'", tx.GID, tx.GID, names[i])
		if _, err := part.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	committed := &twophase.Outcome{Status: 201, Body: []byte("{}")}
	decision := twophase.Decision{State: twophase.Committing, Outcome: committed}
	if state, _, err := s.store.Decide(ctx, tx.GID, "me", decision); err != nil || state != twophase.Committing || unfinished {
		return err
	}
	for i, part := range s.parts {
		if _, err := part.Exec(ctx, "commit prepared '"+tx.GID+"."+names[i]+"'", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	return s.store.Finish(ctx, []twophase.Finished{{GID: tx.GID, State: twophase.Committed}})
}

func (s *shop) open() *cut.Cut {
	s.Helper()
	c, err := cut.Open(s.Context(), s.source)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.close(c) })
	return c
}

func (s *shop) close(c *cut.Cut) {
	s.Helper()
	if err := c.Close(context.Background()); err != nil {
		s.Error(err)
	}
}

// gids are those that a snapshot shows.
func (s *shop) gids(c *cut.Cut, database, sql string) []string {
	s.Helper()
	for _, snapshot := range c.Snapshots {
		if snapshot.Database != database {
			continue
		}
		rows, err := snapshot.Conn.Query(s.Context(), sql)
		if err != nil {
			s.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			s.Fatal(err)
		}
		return all
	}
	s.Fatalf("%s is not in the cut", database)
	return nil
}

// Under transactions without a pause every cut shows each of them in both
// databases and as finished, or in none.
func TestNothingIsHalfInACut(t *testing.T) {
	s := newShop(t)
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for range 4 {
		working.Go(func() {
			for ctx.Err() == nil {
				if err := s.transact(context.WithoutCancel(ctx), false); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen, held := 0, time.Duration(0)
	for range 30 {
		c := s.open()
		held = max(held, c.Held)
		books := s.gids(c, "bookdb", "select gid from changes order by gid")
		orders := s.gids(c, "orderdb", "select gid from changes order by gid")
		finished := s.gids(c, "coordinatordb", "select gid from transactions where state = 'committed' order by gid")
		if !slices.Equal(books, orders) || !slices.Equal(books, finished) {
			t.Errorf("%d changes in one database, %d in the other, %d finished", len(books), len(orders), len(finished))
		}
		if len(books) < seen {
			t.Errorf("%d changes, %d in the cut before", len(books), seen)
		}
		seen = len(books)
		if err := c.Prove(t.Context()); err != nil {
			t.Error(err)
		}
		s.close(c)
	}
	cancel()
	working.Wait()
	t.Logf("%d transactions; decisions were held back for %s at most", seen, held)
	if seen < 30 {
		t.Error("too few transactions to mean anything")
	}
}

// One that is decided and cannot be finished: no cut, and nobody is held back.
func TestNoCutWhileADecisionIsUnfinished(t *testing.T) {
	s := newShop(t)
	if err := s.transact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if c, err := cut.Open(t.Context(), s.source); !errors.Is(err, cut.ErrBusy) {
		t.Errorf("%v: %v", c, err)
	}
	if err := s.transact(t.Context(), false); err != nil {
		t.Error(err)
	}
	s.requireNothingPaused()
}

func (s *shop) requireNothingPaused() {
	s.Helper()
	for _, standby := range s.standbys {
		var paused bool
		if err := standby.conn.QueryRow(s.Context(), "select pg_is_wal_replay_paused()").Scan(&paused); err != nil || paused {
			s.Errorf("paused: %v %v", paused, err)
		}
	}
}

// Rows that were removed since the cut are still in it, however long it is read.
func TestWhatIsReadIsNotRemoved(t *testing.T) {
	s := newShop(t)
	for range 3 {
		if err := s.transact(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	c := s.open()
	leader := s.leader.Conn(t, "bookdb")
	for _, sql := range []string{"delete from changes", "vacuum changes"} {
		if _, err := leader.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	s.reach(1) // the one that is not read
	time.Sleep(600 * time.Millisecond)
	if found := s.gids(c, "bookdb", "select gid from changes"); len(found) != 3 {
		t.Errorf("%d of three rows are in the cut", len(found))
	}
	s.close(c)
	s.replicate()
	s.requireNothingPaused()
}

func TestTheProofFailsUnderAnotherLeader(t *testing.T) {
	s := newShop(t)
	c := s.open()
	if err := c.Prove(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Timeline--
	if err := c.Prove(t.Context()); !errors.Is(err, cut.ErrLost) {
		t.Errorf("another timeline: %v", err)
	}
}

func TestThereHasToBeAReplica(t *testing.T) {
	s := newShop(t)
	for _, standby := range s.standbys {
		standby.Stop(t)
	}
	if c, err := cut.Open(t.Context(), s.source); err == nil || !strings.Contains(err.Error(), "no replica follows the leader") {
		t.Errorf("%v: %v", c, err)
	}
}

// What a table's rows are read in may be lost with them: another connection to the replica shares the snapshot. And the
// login that reads may say what came of it.
func TestTheSnapshotIsSharedAndTheVersionNamed(t *testing.T) {
	s := newShop(t)
	c := s.open()
	first := c.Snapshots[1].Conn
	var name string
	if err := first.QueryRow(t.Context(), "select pg_export_snapshot()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	other, err := pgx.ConnectConfig(t.Context(), first.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	for _, sql := range []string{"begin isolation level repeatable read read only", "set transaction snapshot '" + name + "'"} {
		if _, err := other.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var here, there string
	const seen = "select pg_current_snapshot()::text"
	if err := errors.Join(first.QueryRow(t.Context(), seen).Scan(&here), other.QueryRow(t.Context(), seen).Scan(&there)); err != nil || here != there {
		t.Errorf("%v: one sees %s, the other %s", err, here, there)
	}
	if err := c.Published(t.Context(), 3, 4); err != nil {
		t.Error(err)
	}
}
