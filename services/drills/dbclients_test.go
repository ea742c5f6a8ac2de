//go:build drill

package drills

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/patroni/socket"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// database is what the drills write into, and the login that they write as; both are theirs alone, made and dropped by them.
const database = "drills"

// access is the way into the cluster that a service has: files with the members, the
// credentials and the mesh's authority, the first of which changes under it.
type access struct {
	t        *testing.T
	config   pg.Config
	password string
}

func newAccess(t *testing.T, all []cluster.Member) *access {
	t.Helper()
	dir := t.TempDir()
	roots, _, err := cluster.Consul(t).Agent().ConnectCARoots(nil)
	if err != nil {
		t.Fatalf("read the mesh's authority: %v", err)
	}
	var authority bytes.Buffer
	for _, root := range roots.Roots {
		authority.WriteString(root.RootCertPEM)
	}
	a := &access{t: t, password: rand.Text(), config: pg.Config{
		DSN:             config.Secret("postgres://localhost/" + database),
		MembersFile:     filepath.Join(dir, "members"),
		CredentialsFile: filepath.Join(dir, "credentials"),
		CAFile:          filepath.Join(dir, "ca.pem"),
		TLSService:      "postgres",
	}}
	var members bytes.Buffer
	for _, m := range all {
		fmt.Fprintln(&members, net.JoinHostPort(m.Host, strconv.Itoa(m.Port)))
	}
	for name, content := range map[string][]byte{
		a.config.MembersFile:     members.Bytes(),
		a.config.CredentialsFile: []byte(database + ":" + a.password + "\n"),
		a.config.CAFile:          authority.Bytes(),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// follow keeps the file of the members as Nomad keeps that of a service. While Consul is
// away, or knows of nobody, it stays as it is.
func (a *access) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		a.note(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// note writes the members that Consul knows of.
func (a *access) note(ctx context.Context) {
	entries, _, err := cluster.Consul(a.t).Catalog().Service("patroni", "", (&consul.QueryOptions{}).WithContext(ctx))
	if err != nil || len(entries) == 0 {
		return
	}
	var members bytes.Buffer
	for _, e := range entries {
		fmt.Fprintln(&members, net.JoinHostPort(e.ServiceAddress, strconv.Itoa(e.ServicePort)))
	}
	fresh := a.config.MembersFile + ".new"
	if os.WriteFile(fresh, members.Bytes(), 0o600) == nil {
		_ = os.Rename(fresh, a.config.MembersFile) // the next second tries again
	}
}

// to is one connection to one member, whatever its role.
func (a *access) to(ctx context.Context, m cluster.Member) (*pgx.Conn, error) {
	c, err := a.config.ConnConfig()
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.Fallbacks, c.ValidateConnect = m.Host, uint16(m.Port), nil, nil
	return pgx.ConnectConfig(ctx, c)
}

// leader is one connection to the leader, for the superuser, to one database.
func (a *access) leader(ctx context.Context, name string) (*pgx.Conn, error) {
	return socket.Leader(ctx, cluster.Nomad(a.t), name)
}

// number reads one from the leader.
func (s *scene) number(ctx context.Context, database, sql string, args ...any) (n int, err error) {
	conn, err := s.load.writers.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}

// writers write to the database as the services do: through their pool.
type writers struct {
	access *access
	pool   *pgxpool.Pool
	next   atomic.Int64
	track  shoptest.Track

	mu    sync.Mutex
	acked []int64
}

// A few clients, each of which gives a write up after a second: its outcome is unknown then.
const (
	writerCount   = 4
	writeEvery    = 100 * time.Millisecond
	writePatience = time.Second
)

// newWriters makes the database anew, with its one table.
func newWriters(t *testing.T, a *access) *writers {
	t.Helper()
	remove := []string{"drop database if exists " + database + " with (force)", "drop role if exists " + database}
	a.exec(t, "postgres", append(remove, fmt.Sprintf("create role %s login password '%s'", database, a.password), "create database "+database)...)
	a.exec(t, database, "create table acks (id bigint primary key, source text not null)", "grant select, insert on acks to "+database)
	t.Cleanup(func() { a.exec(t, "postgres", remove...) })
	c := a.config
	c.MaxConns = writerCount
	pool, err := pg.Open(t.Context(), c, "drill", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &writers{access: a, pool: pool}
}

// exec runs statements on the leader, which may just be being found.
func (a *access) exec(t *testing.T, name string, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		err := shoptest.Poll(context.WithoutCancel(t.Context()), 30*time.Second, func(ctx context.Context) error {
			conn, err := a.leader(ctx, name)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, statement)
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func (w *writers) run(ctx context.Context) {
	var all sync.WaitGroup
	for range writerCount {
		all.Go(func() {
			tick := time.NewTicker(writeEvery)
			defer tick.Stop()
			for ctx.Err() == nil {
				w.write(context.WithoutCancel(ctx))
				<-tick.C
			}
		})
	}
	all.Wait()
}

// write adds a row. The pool never cancels a commit: when the patience is over it closes the
// connection, and the row may or may not be there.
func (w *writers) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	id := w.next.Add(1)
	if _, err := w.pool.Exec(ctx, "insert into acks values ($1, 'writer')", id); err != nil {
		return
	}
	w.mu.Lock()
	w.acked = append(w.acked, id)
	w.mu.Unlock()
	w.track.Serve()
}

// highest is the newest row that every read of the leader must show from now on.
func (w *writers) highest() (id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, acked := range w.acked[max(0, len(w.acked)-writerCount):] {
		id = max(id, acked)
	}
	return id
}

// lost counts the acknowledged rows that are not there, of these others too.
func (w *writers) lost(ctx context.Context, others []int64) (count int, err error) {
	conn, err := w.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, `select count(*) from unnest($1::bigint[]) as acked (id)
		where not exists (select from acks a where a.id = acked.id)`, slices.Concat(w.acked, others)).Scan(&count)
	return count, err
}

// readers read from every member all the time, each through a connection of its own.
type readers struct {
	access *access
	all    []cluster.Member
	track  shoptest.Track // any replica answered
}

// A client that gets no answer for readPatience uses another replica.
const (
	readEvery    = 100 * time.Millisecond
	readPatience = 500 * time.Millisecond
	readPause    = 500 * time.Millisecond // after a failure: who connects costs more than who reads
)

func newReaders(a *access, all []cluster.Member) *readers { return &readers{access: a, all: all} }

func (r *readers) run(ctx context.Context) {
	var reading sync.WaitGroup
	for _, m := range r.all {
		reading.Go(func() { r.watch(ctx, m) })
	}
	reading.Wait()
}

// watch reads from one member until ctx ends, and connects anew after each failure.
func (r *readers) watch(ctx context.Context, m cluster.Member) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.stay(ctx, m, tick)
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
		}
	}
}

// stay reads through one connection for as long as that is answered.
func (r *readers) stay(ctx context.Context, m cluster.Member, tick *time.Ticker) {
	connecting, cancel := context.WithTimeout(ctx, readPatience)
	conn, err := r.access.to(connecting, m)
	cancel()
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, readPatience)
		var replica bool
		var rows int64
		err := conn.QueryRow(bounded, "select pg_is_in_recovery(), (select count(*) from acks)").Scan(&replica, &rows)
		cancel()
		if err != nil {
			return
		}
		if replica {
			r.track.Serve()
		}
		<-tick.C
	}
}

// deposed are clients who stay with the leader that was: with connections that they made
// before the harm and did not use since.
type deposed struct {
	access       *access
	reads        *pgx.Conn
	writes       *pgx.Conn
	acknowledged int           // rows that a deposed leader acknowledged
	stale        time.Duration // how long after its thaw it answered reads with less than was acknowledged
}

// What a deposed leader is tested for, and for how long it may answer with what is stale.
const (
	deposedTime = 6 * time.Second
	staleBound  = 2 * time.Second
)

func newDeposed(t *testing.T, a *access, leader cluster.Member) *deposed {
	t.Helper()
	l := &deposed{access: a}
	for _, conn := range []**pgx.Conn{&l.reads, &l.writes} {
		c, err := a.to(t.Context(), leader)
		if err != nil {
			t.Fatal(err)
		}
		*conn = c
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = c.Close(ctx) // it is dead in most drills
		})
	}
	return l
}

// useAgain uses the old connections from now on: there is another leader, and the old one was
// just thawed. Both end when the server closes them.
func (l *deposed) useAgain(t *testing.T, s *scene) {
	t.Helper()
	thawed := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), deposedTime)
	defer cancel()
	writing := make(chan error, 1)
	go func() {
		_, err := l.writes.Exec(ctx, "insert into acks values (-1, 'deposed')")
		writing <- err
	}()
	for ctx.Err() == nil {
		known := s.load.writers.highest()
		var replica bool
		var newest int64
		if err := l.reads.QueryRow(ctx, "select pg_is_in_recovery(), coalesce(max(id), 0) from acks").Scan(&replica, &newest); err != nil {
			break
		}
		if !replica && newest < known {
			l.stale = time.Since(thawed)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := <-writing; err == nil {
		l.acknowledged++
	}
	t.Logf("the old leader answered stale reads for %.2f s after its thaw and acknowledged %d writes", l.stale.Seconds(), l.acknowledged)
}

// survived counts the rows that a deposed leader wrote and that are there nevertheless.
func (l *deposed) survived(ctx context.Context) (count int, err error) {
	conn, err := l.access.leader(ctx, database)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select count(*) from acks where source = 'deposed'").Scan(&count)
	return count, err
}
