// Package bookspg stores books in PostgreSQL.
package bookspg

import (
	"context"
	"embed"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/books"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
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
	slots    *pg.Slots    // for statements that may wait for row locks
	replicas *pg.Replicas // nil reads everything from the leader
	tx       pgx.Tx       // nil outside Once
}

var _ books.Store = (*Store)(nil)

// New makes a store. It works as soon as the pool reaches its database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool, slots: pg.NewSlots(pool)} }

// Sharing is the store whose changes share slots with other users of the pool.
func (s *Store) Sharing(slots *pg.Slots) *Store {
	return &Store{pool: s.pool, slots: slots, replicas: s.replicas}
}

// WithReplicas is the store that reads lists from replicas.
func (s *Store) WithReplicas(replicas *pg.Replicas) *Store {
	return &Store{pool: s.pool, slots: s.slots, replicas: replicas}
}

// db runs single statements that do not wait for row locks. Each is a transaction of its own unless the store is inside one.
func (s *Store) db() runner {
	if s.tx != nil {
		return s.tx
	}
	return s.pool
}

// inTx runs fn in a transaction: Once's, if the store is inside it.
func (s *Store) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	if s.tx != nil {
		return fn(s.tx)
	}
	return s.slots.InTx(ctx, fn)
}

// insert adds a book by a single statement. It takes a slot, because it waits for a concurrent insert of the same ISBN.
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

// Cleaners delete the rows of bookdb whose retention is over. Rows of the outbox are deleted by cache/outbox.
func Cleaners() []clean.Job {
	return append(participant.BranchCleaners(), participant.StepCleaner(), clean.Tombstones(), clean.Job{
		Name: "idempotency_keys",
		Keep: time.Hour, // beyond their life
		Delete: `
delete from idempotency_keys where ctid = any (array(
	select ctid from idempotency_keys where expires_at < now() - $1::interval
	order by expires_at limit $2 for update skip locked))`,
		Oldest: `select expires_at from idempotency_keys order by expires_at limit 1`,
	})
}
