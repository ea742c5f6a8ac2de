// Package orderspg keeps orders in PostgreSQL.
package orderspg

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/orders"
	"bookstore/services/platform/pg"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations are orderdb's, numbered and forward-only.
var Migrations = func() fs.FS {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic("orderspg: embedded migrations: " + err.Error())
	}
	return files
}()

// Store is orders.Store over a pool.
type Store struct {
	pool     *pgxpool.Pool
	replicas *pg.Replicas // nil: all is read from the leader
}

var _ orders.Store = (*Store)(nil)

// New makes a store. The pool need not be connected yet.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// WithReplicas is the store with lists read from replicas, where their readers
// say what they have to show.
func (s *Store) WithReplicas(replicas *pg.Replicas) *Store {
	return &Store{pool: s.pool, replicas: replicas}
}

// Each order comes with its lines as one JSON array: one statement, one snapshot.
const selectOrders = `
select o.id::text, o.customer_id, o.status, o.total_cents, o.currency, o.created_at, o.updated_at, o.version,
	(select json_agg(json_build_object('bookId', i.book_id, 'title', i.title,
		'quantity', i.quantity, 'unitPriceCents', i.unit_price_cents) order by i.line)
	from order_items i where i.order_id = o.id)
from orders o`

const getOrder = selectOrders + ` where o.id = $1`

// Get implements orders.Store.
func (s *Store) Get(ctx context.Context, id string) (orders.Order, error) {
	rows, err := s.pool.Query(ctx, getOrder, id)
	if err != nil {
		return orders.Order{}, pg.Fault("get order", err)
	}
	order, err := pgx.CollectExactlyOneRow(rows, scanOrder)
	if errors.Is(err, pgx.ErrNoRows) {
		return orders.Order{}, orders.NotFound()
	}
	return order, pg.Fault("get order", err)
}

// item is a line as selectOrders writes it.
type item struct {
	BookID         int64  `json:"bookId"`
	Title          string `json:"title"`
	Quantity       int64  `json:"quantity"`
	UnitPriceCents int64  `json:"unitPriceCents"`
}

func scanOrder(row pgx.CollectableRow) (o orders.Order, err error) {
	var items []item
	err = row.Scan(&o.ID, &o.CustomerID, &o.Status, &o.TotalCents, &o.Currency, &o.CreatedAt, &o.UpdatedAt, &o.Version, &items)
	for _, i := range items {
		o.Items = append(o.Items, orders.Item(i))
	}
	o.CreatedAt, o.UpdatedAt = utc(o.CreatedAt), utc(o.UpdatedAt)
	return o, err
}

func utc(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
