package orderspg

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"bookstore/services/orders"
	"bookstore/services/platform/pg"
)

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

// listQuery asks for one order more than the page holds, to know whether there
// is another page. Each combination of conditions is a statement of its own, so
// that each is planned with the index made for it.
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
