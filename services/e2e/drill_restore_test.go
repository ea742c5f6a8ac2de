//go:build e2e && drill

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// TestRestore brings the shop back to a moment in the middle of its day, at which orders were
// in doubt and a checkout waited for its approval, which it got later. What had been acknowledged
// by then is there, what came later is not, and nothing is half.
func TestRestore(t *testing.T) {
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole", func(ctx context.Context) error { return shopIsWhole(ctx, t) })
	script(t, "db-backup.sh")
	c, item := shoptest.Shop(t), shoptest.OrderItem{Quantity: 1}
	item.BookID = c.AddBook(t, "Restored", 10).ID
	checkedOut, path := c.Begin(t, shoptest.StartCheckout("restore", uuid.NewString(), "tok_ok", true, item))
	c.Await(t, path, "waiting_approval")
	l := startDrillLoad(t)
	l.ackedMore(t, 40)
	point := momentOfDoubt(t, l)

	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/approve"}, nil)
	paid := c.Await(t, path, "completed")
	shoptest.Eventually(t, time.Minute, "orders are placed long after the point", func(context.Context) error {
		if acks := l.acks(); acks[len(acks)-1].at.Before(point.Add(lateAfter)) {
			return fmt.Errorf("the last was acknowledged %s after it", acks[len(acks)-1].at.Sub(point))
		}
		return nil
	})
	l.finish(t)

	began := time.Now()
	script(t, "db-restore.sh", "--to", point.UTC().Format("2006-01-02 15:04:05.000000"))
	t.Logf("the shop was back after %s", time.Since(began).Round(time.Second))
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole again", func(ctx context.Context) error { return shopIsWhole(ctx, t) })
	l.requireBackAt(t, point)
	requireNothingInDoubt(t)
	requireLedgerBalanced(t)

	if a := c.Do(t, shoptest.Call{Method: "GET", Path: "/orders/" + paid.OrderID}); a.Status != http.StatusNotFound {
		t.Errorf("the order that was paid after the point: %v", a)
	}
	requireHeld(t, c, checkedOut.ID, path, item)
}

// lateAfter is how long after the point no order is acknowledged that was begun before it.
const lateAfter = 10 * time.Second

// momentOfDoubt is a moment, by the database's clock, at which transactions were prepared.
func momentOfDoubt(t *testing.T, l *drillLoad) (point time.Time) {
	t.Helper()
	conn := leader(t, "postgres")
	l.crowd()
	shoptest.Eventually(t, 30*time.Second, "transactions are prepared", func(ctx context.Context) error {
		var prepared int
		err := conn.QueryRow(ctx, "select clock_timestamp(), (select count(*) from pg_prepared_xacts)").Scan(&point, &prepared)
		if err == nil && prepared == 0 {
			l.crowd()
			err = fmt.Errorf("none is, at %s", point)
		}
		return err
	})
	return point
}

// requireBackAt: the orders that were acknowledged by the point are as they were, those placed
// well after it are not there, and copies are neither lost nor made.
func (l *drillLoad) requireBackAt(t *testing.T, point time.Time) {
	t.Helper()
	kept, gone := 0, 0
	for _, acked := range l.acked {
		a := l.shop.Do(t, shoptest.Call{Method: "GET", Path: acked.path})
		switch {
		case !acked.at.After(point):
			kept++
			if a.Status != http.StatusOK || !sameJSON(t, a.Body, acked.body) {
				t.Errorf("%s is %v, acknowledged was %s", acked.path, a, acked.body)
			}
		case acked.at.After(point.Add(lateAfter)):
			gone++
			if a.Status != http.StatusNotFound {
				t.Errorf("%s was placed after the point: %v", acked.path, a)
			}
		}
	}
	t.Logf("%d orders of before the point are there, %d of after it are not", kept, gone)
	if kept == 0 || gone == 0 {
		t.Error("that proves nothing")
	}
	orders, books := leader(t, "orderdb"), leader(t, "bookdb")
	for _, id := range l.books {
		sold := number(t, orders, "select coalesce(sum(quantity), 0)::bigint from order_items where book_id = $1", id)
		stored := number(t, books, "select quantity from stock where book_id = $1", id)
		// What is cached must not be of a future that never was.
		if left := l.shop.GetBook(t, id).Quantity; left+sold != drillStock || left != stored {
			t.Errorf("book %d: %d in stock, %d in its row, %d sold", id, left, stored, sold)
		}
	}
}

// requireHeld: the checkout waits for its approval again, and then for an operator, while others
// go through.
func requireHeld(t *testing.T, c *shoptest.Client, id, path string, item shoptest.OrderItem) {
	t.Helper()
	c.Await(t, path, "waiting_approval")
	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/approve"}, nil)
	_, other := c.Begin(t, shoptest.StartCheckout("restore", uuid.NewString(), "tok_ok", false, item))
	c.Await(t, other, "completed")
	var now shoptest.Checkout
	c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path}, &now)
	if s := now.Step("capture"); s.State != "running" || s.Attempts != 0 {
		t.Errorf("the capture of %s was not held: %s", id, now.Text())
	}
	script(t, "db-resume.sh")
	if done := c.Await(t, path, "completed"); done.Step("capture").Attempts != 1 {
		t.Errorf("ended as %s", done.Text())
	}
}

// script runs one of the provision scripts and shows what it says.
func script(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "bash", append([]string{"../../vagrant/provision/" + name}, args...)...).CombinedOutput()
	t.Logf("%s\n%s", name, out)
	if err != nil {
		t.Fatal(err)
	}
}
