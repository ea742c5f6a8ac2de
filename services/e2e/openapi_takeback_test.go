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
)

// takeBack gives back, when the test ends, what was bought since it began, and withdraws
// the books that were added.
func takeBack(t *testing.T) {
	t.Helper()
	c := operator(t)
	catalogue, orders, sagas := leader(t, "bookdb"), leader(t, "orderdb"), leader(t, "coordinatordb")
	last := number(t, catalogue, "select coalesce(max(id), 0) from books")
	began := number(t, orders, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		const since = " where created_at >= to_timestamp($1 / 1e6) and "
		for _, id := range texts(ctx, t, sagas, "select id::text from sagas"+since+"definition = 'checkout' and finished_at is null", began) {
			c.act(ctx, t, call{method: "POST", path: "/checkouts/" + id + "/cancel"}, http.StatusOK, http.StatusConflict)
			c.settle(ctx, t, "/checkouts/"+id)
		}
		for _, id := range texts(ctx, t, orders, "select id::text from orders"+since+"status = 'placed'", began) {
			c.act(ctx, t, call{method: "POST", path: "/orders/" + id + "/cancel"}, http.StatusOK)
		}
		for _, id := range texts(ctx, t, orders, "select id::text from orders"+since+"status = 'paid'", began) {
			if a := c.act(ctx, t, giveBack(id, uuid.NewString()), http.StatusAccepted, http.StatusConflict); a.status == http.StatusAccepted {
				c.settle(ctx, t, a.header.Get("Location"))
			}
		}
		for _, id := range texts(ctx, t, catalogue, "select id::text from books where id > $1 and deleted_at is null", last) {
			c.act(ctx, t, call{method: "DELETE", path: "/books/" + id}, http.StatusNoContent, http.StatusGone)
		}
	})
}

// act makes a call of a cleanup, which one of these statuses is the end of.
func (c *client) act(ctx context.Context, t *testing.T, k call, good ...int) *answer {
	t.Helper()
	a, err := c.persist(ctx, k)
	if err != nil {
		t.Errorf("%s %s: %v", k.method, k.path, err)
		return &answer{}
	}
	if !slices.Contains(good, a.status) {
		t.Errorf("%s %s: %v", k.method, k.path, a)
	}
	return a
}

// settle waits until a checkout or a return is over.
func (c *client) settle(ctx context.Context, t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var now checkout
		a, err := c.try(ctx, call{method: "GET", path: path})
		if err == nil && json.Unmarshal(a.body, &now) == nil && now.over() {
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
