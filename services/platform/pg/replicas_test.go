package pg_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/patroni"
	"bookstore/services/platform/config"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/wait/waittest"
)

// cluster is a leader with its standbys, and a service's two pools.
type cluster struct {
	*testing.T
	leader   *pgtest.Instance
	standbys []*pgtest.Instance
	pool     *pgxpool.Pool
	replicas *pg.Replicas
	tip      *pg.Tip
}

// newCluster makes a leader and standbys. at may put something in front of a standby.
func newCluster(t *testing.T, standbys int, at func(*pgtest.Instance) string) *cluster {
	t.Helper()
	t.Parallel()
	ctx := context.Background()
	c := &cluster{T: t, leader: pgtest.Start(t, pgtest.Options{})}
	db := patroni.Database{Name: "shopdb", Schema: "shopdb_schema", Role: "shopdb_owner"}
	connect := func(ctx context.Context, database string) (*pgx.Conn, error) {
		return pgx.Connect(ctx, c.leader.URL(database))
	}
	if _, err := patroni.Declare(ctx, connect, []patroni.Database{db}, nil, nil); err != nil {
		t.Fatal(err)
	}
	addresses := []string{c.leader.Addr()}
	for range standbys {
		s := pgtest.Start(t, pgtest.Options{Follow: c.leader})
		c.standbys = append(c.standbys, s)
		if at == nil {
			addresses = append(addresses, s.Addr())
		} else {
			addresses = append(addresses, at(s))
		}
	}
	settings := pg.Config{
		DSN: config.Secret("postgres://postgres@/shopdb?sslmode=disable"), MembersFile: filepath.Join(t.TempDir(), "members"),
		MaxConns: 4, ReadConns: 2,
	}
	write(t, settings.MembersFile, addresses...)
	pool, err := pg.Open(ctx, settings, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	c.pool = pool
	if _, err := pool.Exec(ctx, "create table writes (id int primary key)"); err != nil {
		t.Fatal(err)
	}
	c.replicas, c.tip = pg.OpenReplicas(settings, pool, "test", nil), pg.NewTip(pool)
	c.rounds()
	return c
}

// rounds probes the members as long as the test runs.
func (c *cluster) rounds() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := c.replicas.Round(ctx); err != nil {
				c.Error(err)
			}
			<-tick.C
		}
	}()
	c.Cleanup(func() { cancel(); <-ended; c.replicas.Close() })
}

// read returns which server answered, and whether it has the row.
func (c *cluster) read(token string, id int) (port string, found bool, err error) {
	c.Helper()
	after, err := pg.ParsePosition(token)
	if err != nil {
		c.Fatal(err)
	}
	_, err = c.replicas.Read(context.Background(), after, func(ctx context.Context, db pg.Querier) error {
		return db.QueryRow(ctx, "select current_setting('port'), exists (select from writes where id = $1)", id).Scan(&port, &found)
	})
	return port, found, err
}

func (c *cluster) write(id int) (token string) {
	c.Helper()
	if _, err := c.pool.Exec(context.Background(), "insert into writes values ($1)", id); err != nil {
		c.Fatal(err)
	}
	return c.token()
}

// token tries again if the leader was too busy to report its position in time.
func (c *cluster) token() (token string) {
	c.Helper()
	waittest.Eventually(c.T, "a token that replicas reach", func() bool {
		token = c.tip.Token(context.Background())
		at, err := pg.ParsePosition(token)
		return err == nil && at.System != 0
	})
	return token
}

func (c *cluster) is(port string, i *pgtest.Instance) bool {
	return strings.HasSuffix(i.Addr(), ":"+port)
}

// serves waits until reads come from a server.
func (c *cluster) serves(i *pgtest.Instance) {
	c.Helper()
	waittest.Eventually(c.T, "reads from "+i.Addr(), func() bool {
		port, _, err := c.read("", 0)
		return err == nil && c.is(port, i)
	})
}

func TestReadsGoToReplicasAndShowWhatTheReaderWrote(t *testing.T) {
	c := newCluster(t, 2, nil)
	for _, s := range c.standbys {
		c.serves(s)
	}
	elsewhere := 0
	for id := range 100 {
		port, found, err := c.read(c.write(id), id)
		if err != nil || !found {
			t.Fatalf("write %d is not in the read after it, %v", id, err)
		}
		if !c.is(port, c.leader) {
			elsewhere++
		}
	}
	if elsewhere == 0 {
		t.Error("no read that had to show a write came from a replica")
	}
}

// A replica may be behind by a second; what a reader has written he sees at once.
func TestAReplicaThatFallsBehindIsLeftOut(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.serves(c.standbys[0])
	if _, err := c.standbys[0].Conn(t, "postgres").Exec(context.Background(), "select pg_wal_replay_pause()"); err != nil {
		t.Fatal(err)
	}
	token := c.write(1)
	if port, found, err := c.read(token, 1); err != nil || !found || !c.is(port, c.leader) {
		t.Errorf("with a token: found %t at %s, %v", found, port, err)
	}
	waittest.Eventually(t, "the leader is read from", func() bool {
		port, found, err := c.read("", 1)
		return err == nil && found && c.is(port, c.leader)
	})
	if _, err := c.standbys[0].Conn(t, "postgres").Exec(context.Background(), "select pg_wal_replay_resume()"); err != nil {
		t.Fatal(err)
	}
	c.serves(c.standbys[0])
}

func TestAFrozenReplicaCostsLittle(t *testing.T) {
	var front *frontman
	c := newCluster(t, 2, func(s *pgtest.Instance) string {
		if front == nil {
			front = newFrontman(t, s.Addr())
			return front.Addr().String()
		}
		return s.Addr()
	})
	c.serves(c.standbys[0])
	c.serves(c.standbys[1])
	front.frozen.Store(true)
	for range 50 {
		began := time.Now()
		if port, _, err := c.read("", 0); err != nil || c.is(port, c.standbys[0]) {
			t.Fatalf("read from %s, %v", port, err)
		}
		if took := time.Since(began); took > 5*time.Second { // some 400 ms where nothing else runs
			t.Errorf("a read took %s", took)
		}
	}
	front.frozen.Store(false)
	c.serves(c.standbys[0])
}

// While nobody leads, nothing is acknowledged: what a replica has is all there is.
func TestReadsGoOnWithoutALeaderAndFollowTheNext(t *testing.T) {
	c := newCluster(t, 2, nil)
	before := c.write(1)
	c.serves(c.standbys[0])
	c.serves(c.standbys[1])
	waittest.Eventually(t, "both have the row", func() bool {
		port, found, err := c.read(before, 1)
		return err == nil && found && !c.is(port, c.leader)
	})
	c.leader.Kill(t)
	for range 200 {
		if port, _, err := c.read("", 1); err != nil || c.is(port, c.leader) {
			t.Fatalf("read from %s, %v", port, err)
		}
	}
	if _, found, err := c.read(before, 1); err != nil || !found {
		t.Errorf("with a token of before: found %t, %v", found, err)
	}
	if _, err := c.standbys[0].Conn(t, "postgres").Exec(context.Background(), "select pg_promote()"); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "a write", func() bool {
		_, err := c.pool.Exec(context.Background(), "insert into writes values (2)")
		return err == nil
	})
	token := c.token()
	// The other standby follows nobody: it must not pass for one that has the row.
	for range 20 {
		if port, found, err := c.read(token, 2); err != nil || !found || !c.is(port, c.standbys[0]) {
			t.Fatalf("found %t at %s, %v", found, port, err)
		}
	}
}

func TestWithoutMembersAllIsReadFromTheLeader(t *testing.T) {
	t.Parallel()
	pool := pgtest.Database(t, notes)
	replicas := pg.OpenReplicas(pg.Config{}, pool, "test", nil)
	defer replicas.Close()
	if err := replicas.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("no")
	if _, err := replicas.Read(t.Context(), pg.Position{}, func(_ context.Context, db pg.Querier) error {
		if db != pg.Querier(pool) {
			t.Errorf("read from %T", db)
		}
		return refusal
	}); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	at := pg.Position{System: 7_573_000_000_000_000_001, Timeline: 3, LSN: 0x16_B374D848}
	if back, err := pg.ParsePosition(at.String()); err != nil || back != at {
		t.Errorf("%s is %+v, %v", at, back, err)
	}
	if none, err := pg.ParsePosition(""); err != nil || none != (pg.Position{}) {
		t.Errorf("no token is %+v, %v", none, err)
	}
	for _, bad := range []string{"x", "AQ", at.String() + "AA", at.String()[1:], strings.Repeat("A", 28), "0/16B374D848", "é"} {
		_, err := pg.ParsePosition(bad)
		if f := fault.As(err); err == nil || f.Kind != fault.MalformedRequest || f.Fields[0].Field != "X-Consistency-Token" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
