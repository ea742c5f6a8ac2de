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
	"bookstore/services/platform/pg"
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
	slots    *pg.Slots    // for what may wait for rows that others hold
	replicas *pg.Replicas // nil: all is read from the leader
	tx       pgx.Tx       // nil outside Once
}

var _ books.Store = (*Store)(nil)

// New makes a store. The pool need not be connected yet.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool, slots: pg.NewSlots(pool)} }

// Sharing is the store with changes that take their connections from slots that
// others, who use the same pool, take theirs from.
func (s *Store) Sharing(slots *pg.Slots) *Store {
	return &Store{pool: s.pool, slots: slots, replicas: s.replicas}
}

// WithReplicas is the store with lists read from replicas.
func (s *Store) WithReplicas(replicas *pg.Replicas) *Store {
	return &Store{pool: s.pool, slots: s.slots, replicas: replicas}
}

// db runs single statements that wait for nobody's rows, which are transactions
// of their own unless the store is inside one.
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
	return s.slots.InTx(ctx, fn)
}

// insert adds a book, by a single statement: another insert of the same ISBN is
// waited for.
func (s *Store) insert(ctx context.Context, d books.Draft) (books.Book, error) {
	if s.tx != nil {
		return insert(ctx, s.tx, d)
	}
	conn, release, err := s.slots.Acquire(ctx)
	if err != nil {
		return books.Book{}, err
	}
	defer release()
	return insert(ctx, conn, d)
}
