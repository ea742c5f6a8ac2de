// Package orderspg stores orders in PostgreSQL: reads and lists in store.go, changes in changes.go.
package orderspg

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/orders"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
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
	replicas *pg.Replicas // nil reads everything from the leader
}

var _ orders.Store = (*Store)(nil)

// New makes a store. It works as soon as the pool reaches its database.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// WithReplicas is the store that reads lists with a token from replicas.
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

// item is an element of selectOrders' JSON array.
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

// utc is a time in the precision of PostgreSQL.
func utc(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// List implements orders.Store.
func (s *Store) List(ctx context.Context, f orders.Filter) (found []orders.Order, next *orders.Cursor, err error) {
	after, err := pg.ParsePosition(f.Token)
	switch {
	case err != nil:
		return nil, nil, err
	case s.replicas == nil || f.Token == "":
		found, err = list(ctx, s.pool, f)
	default:
		_, err = s.replicas.Read(ctx, after, func(ctx context.Context, db pg.Querier) (err error) {
			found, err = list(ctx, db, f)
			return err
		})
	}
	if err != nil {
		return nil, nil, err
	}
	if len(found) <= f.Limit {
		return found, nil, nil
	}
	found = found[:f.Limit]
	last := found[f.Limit-1]
	return found, &orders.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}, nil
}

func list(ctx context.Context, db pg.Querier, f orders.Filter) ([]orders.Order, error) {
	sql, args := listQuery(f)
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, pg.Fault("list orders", err)
	}
	found, err := pgx.CollectRows(rows, scanOrder)
	return found, pg.Fault("list orders", err)
}

// listQuery selects one order more than the page has, to know whether there is another page. Each combination of conditions
// is a statement of its own, so that PostgreSQL plans each with its index.
func listQuery(f orders.Filter) (sql string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		places := make([]any, len(values))
		for i, v := range values {
			args = append(args, v)
			places[i] = len(args)
		}
		where = append(where, fmt.Sprintf(condition, places...))
	}
	if f.CustomerID != "" {
		add("o.customer_id = $%d", f.CustomerID)
	}
	if f.Status != "" {
		add("o.status = $%d", f.Status)
	}
	if f.After != nil {
		add("(o.created_at, o.id) < ($%d, $%d::uuid)", f.After.CreatedAt, f.After.ID)
	}
	sql = selectOrders
	if len(where) > 0 {
		sql += "\nwhere " + strings.Join(where, " and ")
	}
	args = append(args, f.Limit+1)
	return sql + fmt.Sprintf("\norder by o.created_at desc, o.id desc limit $%d", len(args)), args
}

// Cleaners delete the rows of orderdb whose retention is over.
func Cleaners() []clean.Job {
	return append(participant.BranchCleaners(), participant.StepCleaner(), clean.Tombstones())
}
