// Package socket connects to PostgreSQL as its superuser, who logs in nowhere but at the
// unix socket in a member's container: Nomad's exec runs socket.py there, which joins its
// own input and output to it. So whoever wants to be the superuser needs the right
// alloc-exec at Nomad, and there is no password that could be stolen.
package socket

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// script needs nothing of the image but Python: members of an older version have it too.
//
//go:embed socket.py
var script string

// Job is the members' job, and the name of the task in which PostgreSQL runs.
const Job = "patroni"

// connectTimeout bounds an attempt at one member: Nomad starts a process for it.
const connectTimeout = 10 * time.Second

// Members are the allocations of the members that run, in the order of their numbers.
func Members(ctx context.Context, client *nomad.Client) ([]string, error) {
	all, _, err := client.Jobs().Allocations(Job, false, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the members' allocations: %w", err)
	}
	all = slices.DeleteFunc(all, func(a *nomad.AllocationListStub) bool { return a.ClientStatus != nomad.AllocClientStatusRunning })
	if len(all) == 0 {
		return nil, errors.New("no member of the database runs: 'go tool task up' starts them")
	}
	slices.SortFunc(all, func(a, b *nomad.AllocationListStub) int { return cmp.Compare(a.Name, b.Name) })
	ids := make([]string, len(all))
	for i, a := range all {
		ids[i] = a.ID
	}
	return ids, nil
}

// Through has cfg connect as the superuser to these members, which are tried in their order: to the first one or, with
// cfg's ValidateConnect, to the first that this accepts.
func Through(cfg *pgx.ConnConfig, client *nomad.Client, members ...string) {
	cfg.User, cfg.Password, cfg.TLSConfig = "postgres", "", nil
	cfg.Host, cfg.Port, cfg.Fallbacks = members[0], 1, nil // a port has to be given, and is not used
	for _, member := range members[1:] {
		cfg.Fallbacks = append(cfg.Fallbacks, &pgconn.FallbackConfig{Host: member, Port: 1})
	}
	cfg.ConnectTimeout = connectTimeout
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(ctx context.Context, _, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, client, host)
	}
}

// Leader connects to a database on the member that takes writes.
func Leader(ctx context.Context, client *nomad.Client, database string) (*pgx.Conn, error) {
	members, err := Members(ctx, client)
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig("target_session_attrs=read-write")
	if err != nil {
		return nil, err
	}
	Through(cfg, client, members...)
	cfg.Database = database
	return pgx.ConnectConfig(ctx, cfg)
}

// Member connects to the database postgres on one member, whether it leads or not.
func Member(ctx context.Context, client *nomad.Client, member string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("dbname=postgres")
	if err != nil {
		return nil, err
	}
	Through(cfg, client, member)
	return pgx.ConnectConfig(ctx, cfg)
}

// conn is one end of a pipe whose other end is the process in the member's container.
type conn struct {
	net.Conn
	stop  context.CancelFunc
	ended func() error // why the process has ended, once it has
}

// tries bounds how often a process is started for one connection: Nomad's docker driver asks Docker for the state of a
// process that may not have started yet, and takes it for one that has ended well (seen in 1.11.3, for one in ten).
const tries = 10

// dial starts socket.py in a member's container. The process lives until the connection is closed.
func dial(ctx context.Context, client *nomad.Client, member string) (net.Conn, error) {
	allocation, _, err := client.Allocations().Info(member, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("find the member %s: %w", member, err)
	}
	for range tries {
		c := begin(ctx, client, allocation)
		if err = c.await(ctx); err == nil {
			return c, nil
		}
		_ = c.Close() // it was of no use
		if !errors.Is(err, io.EOF) {
			break
		}
	}
	return nil, fmt.Errorf("connect in %s: %w", allocation.Name, err)
}

func begin(ctx context.Context, client *nomad.Client, allocation *nomad.Allocation) *conn {
	here, there := net.Pipe()
	living, stop := context.WithCancel(context.WithoutCancel(ctx))
	var problem error
	done := make(chan struct{})
	go func() {
		defer close(done)
		problem = run(living, client, allocation, there)
		_ = there.Close() // who reads hears of it
	}()
	return &conn{Conn: here, stop: stop, ended: func() error { <-done; return problem }}
}

// await returns once the process has connected, of which a line tells.
func (c *conn) await(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends the read
	defer stop()
	_, err := c.Read(make([]byte, 1))
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return err
}

func run(ctx context.Context, client *nomad.Client, allocation *nomad.Allocation, there net.Conn) error {
	var said bytes.Buffer
	exit, err := client.Allocations().Exec(ctx, allocation, Job, false, []string{"python3", "-c", script}, there, there, &said, nil, nil)
	if err == nil && exit != 0 {
		err = fmt.Errorf("exit code %d: %s", exit, strings.TrimSpace(said.String()))
	}
	return err
}

// Read says why the process ended where that was no ordinary end.
func (c *conn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if errors.Is(err, io.EOF) {
		if problem := c.ended(); problem != nil {
			err = problem
		}
	}
	return n, err
}

// Close ends the process too.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.stop()
	return err
}
