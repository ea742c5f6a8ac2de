// Package database is the shop's PostgreSQL as an operator reaches it: its members, and the databases as the superuser.
package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/operator/cluster"
	"bookstore/services/platform/config"
	"bookstore/services/platform/pg"
)

// patience is how long an answer may take: a commit may wait for standbys that are on their way back.
const patience = 30 * time.Second

// Do runs statements of a database on the member that takes writes, for 30 s at most.
func Do(ctx context.Context, c *cluster.Cluster, name string, do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := reach(ctx, c)
	if err != nil {
		return err
	}
	to, err := a.config(name).ConnConfig()
	if err != nil {
		return err
	}
	conn, err := a.connect(ctx, to)
	if err != nil {
		return fmt.Errorf("no member of the database takes writes: %w; 'go tool task db:status' shows them", err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is left to do on it
	return do(ctx, conn)
}

// Ask runs a statement on the leader that returns one row, and scans its one column.
func Ask[T any](ctx context.Context, c *cluster.Cluster, name, sql string, args ...any) (value T, err error) {
	err = Do(ctx, c, name, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(&value)
	})
	return value, err
}

// askEach runs a statement that returns one row on every member, whether it leads or not, and returns the one column of
// each. A member that does not answer is an error.
func askEach[T any](ctx context.Context, c *cluster.Cluster, sql string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := reach(ctx, c)
	if err != nil {
		return nil, err
	}
	values := make([]T, len(a.hosts))
	for i := range a.hosts {
		member := net.JoinHostPort(a.hosts[i], a.ports[i])
		to, err := a.config("postgres").MemberConfig(member)
		if err != nil {
			return nil, err
		}
		conn, err := a.connect(ctx, to)
		if err == nil {
			err = conn.QueryRow(ctx, sql, args...).Scan(&values[i])
			_ = conn.Close(ctx) // nothing is left to do on it
		}
		if err != nil {
			return nil, fmt.Errorf("the member at %s: %w", member, err)
		}
	}
	return values, nil
}

// access is what the superuser needs to come to the members. They are all that Consul knows, healthy or not: a check
// hears of a new leader seconds later.
type access struct {
	hosts, ports []string // of the same member at the same place
	password     string
}

func reach(ctx context.Context, c *cluster.Cluster) (access, error) {
	members, err := c.Instances(ctx, "patroni")
	if err != nil {
		return access{}, fmt.Errorf("%w (%w)", cluster.ErrDown, err)
	}
	if len(members) == 0 {
		return access{}, errors.New("no member of the database runs: 'go tool task up' starts them")
	}
	a := access{hosts: make([]string, len(members)), ports: make([]string, len(members))}
	for i, member := range members {
		a.hosts[i], a.ports[i] = member.Service.Address, strconv.Itoa(member.Service.Port)
	}
	a.password, err = c.Item(ctx, "patroni", "superuser_password")
	return a, err
}

// dsn is a connection string of libpq's without the password. Members prove with no name who they are (patroni/README.md).
func (a access) dsn(database string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database)
	return fmt.Sprintf("host=%s port=%s user=postgres dbname='%s' sslmode=require",
		strings.Join(a.hosts, ","), strings.Join(a.ports, ","), quoted)
}

func (a access) config(database string) pg.Config {
	return pg.Config{DSN: config.Secret(a.dsn(database))}
}

func (a access) connect(ctx context.Context, to *pgx.ConnConfig) (*pgx.Conn, error) {
	to.Password = a.password
	return pgx.ConnectConfig(ctx, to)
}
