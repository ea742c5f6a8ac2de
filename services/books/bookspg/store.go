// Package bookspg keeps books in PostgreSQL.
package bookspg

import (
	"context"
	"embed"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/kit/pg"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are bookdb's, numbered and forward-only.
var Migrations = func() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic("bookspg: embedded migrations: " + err.Error())
	}
	return files
}()

// runner is what a statement runs on: the pool or a transaction.
type runner interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Store is books.Store over a pool or, inside Once, over one transaction.
type Store struct {
	pool     *pgxpool.Pool
	replicas *pg.Replicas // nil: all is read from the leader
	tx       pgx.Tx       // nil outside Once
}

var _ books.Store = (*Store)(nil)

// New makes a store. The pool need not be connected yet.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// WithReplicas is the store with lists read from replicas.
func (s *Store) WithReplicas(replicas *pg.Replicas) *Store {
	return &Store{pool: s.pool, replicas: replicas}
}

// db runs single statements, which are transactions of their own unless the
// store is inside one.
func (s *Store) db() runner {
	if s.tx != nil {
		return s.tx
	}
	return s.pool
}

// inTx runs fn in a transaction: Once's, if the store is inside one.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	if s.tx != nil {
		return fn(s.tx)
	}
	return pg.InTx(ctx, s.pool, fn)
}
