// Package database is the shop's PostgreSQL as an operator reaches it: the leader, as the superuser.
package database

import (
	"context"
	"errors"
	"fmt"
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
	conn, err := leader(ctx, c, name)
	if err != nil {
		return err
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

// leader connects to a database on that member. Every member that Consul knows is tried, healthy or not:
// a check hears of a new leader seconds later.
func leader(ctx context.Context, c *cluster.Cluster, name string) (*pgx.Conn, error) {
	members, err := c.Instances(ctx, "patroni")
	if err != nil {
		return nil, err
	}
	if len(members) == 0 {
		return nil, errors.New("no member of the database runs: 'go tool task up' starts them")
	}
	password, err := c.Item(ctx, "patroni", "superuser_password")
	if err != nil {
		return nil, err
	}
	hosts, ports := make([]string, len(members)), make([]string, len(members))
	for i, member := range members {
		hosts[i], ports[i] = member.Service.Address, strconv.Itoa(member.Service.Port)
	}
	to, err := pg.Config{DSN: config.Secret(fmt.Sprintf("host=%s port=%s user=postgres dbname=%s sslmode=require",
		strings.Join(hosts, ","), strings.Join(ports, ","), name))}.ConnConfig()
	if err != nil {
		return nil, err
	}
	to.Password = password
	conn, err := pgx.ConnectConfig(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("no member of the database takes writes: %w; 'go tool task db:status' shows them", err)
	}
	return conn, nil
}
