// Package database is the shop's PostgreSQL as an operator reaches it: its members, and the databases as the superuser.
package database

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/patroni/socket"
	"bookstore/services/operator/cluster"
)

// patience is how long an answer may take: a commit may wait for standbys that are on their way back.
const patience = 30 * time.Second

// Do runs statements of a database on the member that takes writes, for 30 s at most.
func Do(ctx context.Context, c *cluster.Cluster, name string, do func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := socket.Leader(ctx, c.Nomad, name)
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
	members, err := socket.Members(ctx, c.Nomad)
	if err != nil {
		return nil, err
	}
	values := make([]T, len(members))
	for i, member := range members {
		conn, err := socket.Member(ctx, c.Nomad, member)
		if err == nil {
			err = conn.QueryRow(ctx, sql, args...).Scan(&values[i])
			_ = conn.Close(ctx) // nothing is left to do on it
		}
		if err != nil {
			return nil, fmt.Errorf("the member in %s: %w", member, err)
		}
	}
	return values, nil
}
