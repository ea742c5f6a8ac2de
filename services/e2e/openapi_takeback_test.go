//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// takeBack gives back, when the test ends, what was bought since it began, and withdraws
// the books that were added.
func takeBack(t *testing.T) {
	t.Helper()
	c := shoptest.Operator(t)
	catalogue, orders, sagas := cluster.Leader(t, "bookdb"), cluster.Leader(t, "orderdb"), cluster.Leader(t, "coordinatordb")
	last := cluster.Number(t, catalogue, "select coalesce(max(id), 0) from books")
	began := cluster.Number(t, orders, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		const since = " where created_at >= to_timestamp($1 / 1e6) and "
		for _, id := range texts(ctx, t, sagas, "select id::text from sagas"+since+"definition = 'checkout' and finished_at is null", began) {
			undo(ctx, t, c, shoptest.Call{Method: "POST", Path: "/checkouts/" + id + "/cancel"}, http.StatusOK, http.StatusConflict)
			settle(ctx, t, c, "/checkouts/"+id)
		}
		for _, id := range texts(ctx, t, orders, "select id::text from orders"+since+"status = 'placed'", began) {
			undo(ctx, t, c, shoptest.Call{Method: "POST", Path: "/orders/" + id + "/cancel"}, http.StatusOK)
		}
		for _, id := range texts(ctx, t, orders, "select id::text from orders"+since+"status = 'paid'", began) {
			if a := undo(ctx, t, c, shoptest.StartReturn(id, uuid.NewString()), http.StatusAccepted, http.StatusConflict); a.Status == http.StatusAccepted {
				settle(ctx, t, c, a.Header.Get("Location"))
			}
		}
		for _, id := range texts(ctx, t, catalogue, "select id::text from books where id > $1 and deleted_at is null", last) {
			undo(ctx, t, c, shoptest.Call{Method: "DELETE", Path: "/books/" + id}, http.StatusNoContent, http.StatusGone)
		}
	})
}

// undo makes a call of a cleanup, which one of these statuses is the end of.
func undo(ctx context.Context, t *testing.T, c *shoptest.Client, k shoptest.Call, good ...int) *shoptest.Answer {
	t.Helper()
	a, err := c.Persist(ctx, k, shoptest.Retriable)
	if err != nil {
		t.Errorf("%s %s: %v", k.Method, k.Path, err)
		return &shoptest.Answer{}
	}
	if !slices.Contains(good, a.Status) {
		t.Errorf("%s %s: %v", k.Method, k.Path, a)
	}
	return a
}

// settle waits until a checkout or a return is over.
func settle(ctx context.Context, t *testing.T, c *shoptest.Client, path string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var now shoptest.Checkout
		a, err := c.Try(ctx, shoptest.Call{Method: "GET", Path: path})
		if err == nil && json.Unmarshal(a.Body, &now) == nil && now.Over() {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s is not over: %v %v", path, a, err)
			return
		case <-tick.C:
		}
	}
}

// texts are the rows of a query for one text.
func texts(ctx context.Context, t *testing.T, conn *pgx.Conn, sql string, arg int64) []string {
	t.Helper()
	rows, err := conn.Query(ctx, sql, arg)
	if err != nil {
		t.Errorf("%s: %v", sql, err)
		return nil
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Errorf("%s: %v", sql, err)
	}
	return found
}
