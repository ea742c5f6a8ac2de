//go:build drill

package drills

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	operated "bookstore/services/operator/cluster"
	"bookstore/services/operator/provide"
	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// restore brings the shop back to a moment in the middle of its day, at which orders were
// in doubt and a checkout waited for its approval, which it got later. What had been acknowledged
// by then is there, what came later is not, and nothing is half.
func restore(t *testing.T) { restoreFrom(t, "1", func() {}) }

// restoreFromS3 does the same with the second repository alone: all that is on the volume of the first is gone before.
func restoreFromS3(t *testing.T) {
	var putBack func()
	restoreFrom(t, "2", func() { putBack = loseBackups(t) })
	putBack()
	archiveMore(t)
	operate(t, "db", "backup")
}

func restoreFrom(t *testing.T, repository string, lose func()) {
	t.Helper()
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole", func(ctx context.Context) error { return cluster.Whole(ctx, t) })
	operate(t, "db", "backup")
	c, item := shoptest.Shop(t), shoptest.OrderItem{Quantity: 1}
	item.BookID = c.AddBook(t, "Restored", 10).ID
	checkedOut, path := c.Begin(t, shoptest.StartCheckout("restore", uuid.NewString(), "tok_ok", true, item))
	c.Await(t, path, "waiting_approval")
	l := shoptest.NewLoad(t, boughtBooks, copies)
	orders := l.Orders(busyEvery, true)
	l.Start(t, orders, l.Reads(busyEvery))
	l.More(t, shoptest.Orders, 40)
	point := momentOfDoubt(t, func() { l.Burst(orders, burstSize) })

	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/approve"}, nil)
	paid := c.Await(t, path, "completed")
	shoptest.Eventually(t, time.Minute, "orders are placed long after the point", func(context.Context) error {
		if acks := l.Acks(); acks[len(acks)-1].At.Before(point.Add(lateAfter)) {
			return fmt.Errorf("the last was acknowledged %s after it", acks[len(acks)-1].At.Sub(point))
		}
		return nil
	})
	l.Finish()
	l.RequireRight(t)

	lose()
	began := time.Now()
	operate(t, "db", "restore", "--repository", repository, "--to", point.UTC().Format("2006-01-02 15:04:05.000000"))
	t.Logf("the shop was back after %s", time.Since(began).Round(time.Second))
	shoptest.Eventually(t, 2*time.Minute, "the shop is whole again", func(ctx context.Context) error { return cluster.Whole(ctx, t) })
	requireBackAt(t, l, point)
	cluster.RequireNothingInDoubt(t)
	cluster.RequireLedgerBalanced(t)

	if a := c.Do(t, shoptest.Call{Method: "GET", Path: "/orders/" + paid.OrderID}); a.Status != http.StatusNotFound {
		t.Errorf("the order that was paid after the point: %v", a)
	}
	requireHeld(t, c, checkedOut.ID, path, item)
}

// loseBackups empties the volume of the first repository, as a new disk would be. putBack gives it back what it had; the
// next backup there is a full one, since the timeline is another.
func loseBackups(t *testing.T) (putBack func()) {
	t.Helper()
	operator, err := operated.Open()
	if err != nil {
		t.Fatal(err)
	}
	volume, err := provide.Folder(t.Context(), operator, "backup")
	if err != nil {
		t.Fatal(err)
	}
	away, err := os.MkdirTemp(filepath.Dir(volume), "lost-") //nolint:usetesting // on the volume's own file system
	if err != nil {
		t.Fatal(err)
	}
	putBack = sync.OnceFunc(func() {
		began, err := os.MkdirTemp(filepath.Dir(volume), "began-") //nolint:usetesting // as above
		if err != nil {
			t.Fatal(err)
		}
		moveAll(t, volume, began)
		moveAll(t, away, volume)
		for _, dir := range []string{away, began} {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(putBack) // where the drill fails before
	moveAll(t, volume, away)
	t.Logf("what was in %s is gone", volume)
	return putBack
}

func moveAll(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// archiveMore waits until WAL of the running timeline is in both repositories.
func archiveMore(t *testing.T) {
	t.Helper()
	conn := cluster.Leader(t, "postgres")
	var segment string
	if err := conn.QueryRow(t.Context(), "select pg_walfile_name(pg_switch_wal()) from txid_current()").Scan(&segment); err != nil {
		t.Fatal(err)
	}
	shoptest.Eventually(t, 3*time.Minute, segment+" is archived", func(ctx context.Context) error {
		var last string
		err := conn.QueryRow(ctx, "select coalesce(last_archived_wal, '') from pg_stat_archiver").Scan(&last)
		if err == nil && last < segment {
			err = fmt.Errorf("the last one is %s", last)
		}
		return err
	})
}

// lateAfter is how long after the point no order is acknowledged that was begun before it.
const lateAfter = 10 * time.Second

// momentOfDoubt is a moment, by the database's clock, at which transactions were prepared.
func momentOfDoubt(t *testing.T, burst func()) (point time.Time) {
	t.Helper()
	conn := cluster.Leader(t, "postgres")
	burst()
	shoptest.Eventually(t, 30*time.Second, "transactions are prepared", func(ctx context.Context) error {
		var prepared int
		err := conn.QueryRow(ctx, "select clock_timestamp(), (select count(*) from pg_prepared_xacts)").Scan(&point, &prepared)
		if err == nil && prepared == 0 {
			burst()
			err = fmt.Errorf("none is, at %s", point)
		}
		return err
	})
	return point
}

// requireBackAt: the orders that were acknowledged by the point are as they were, those placed
// well after it are not there, and copies are neither lost nor made.
func requireBackAt(t *testing.T, l *shoptest.Load, point time.Time) {
	t.Helper()
	kept, gone := 0, 0
	for _, acked := range l.Acks() {
		a, same := acked.Same(t, l.Shop)
		switch {
		case !acked.At.After(point):
			kept++
			if !same {
				t.Errorf("%s is %v, acknowledged was %s", acked.Path, a, acked.Body)
			}
		case acked.At.After(point.Add(lateAfter)):
			gone++
			if a.Status != http.StatusNotFound {
				t.Errorf("%s was placed after the point: %v", acked.Path, a)
			}
		}
	}
	t.Logf("%d orders of before the point are there, %d of after it are not", kept, gone)
	if kept == 0 || gone == 0 {
		t.Error("that proves nothing")
	}
	orders, books := cluster.Leader(t, "orderdb"), cluster.Leader(t, "bookdb")
	for _, id := range l.Books {
		sold := cluster.Number(t, orders, "select coalesce(sum(quantity), 0)::bigint from order_items where book_id = $1", id)
		stored := cluster.Number(t, books, "select quantity from stock where book_id = $1", id)
		// What is cached must not be of a future that never was.
		if left := l.Shop.GetBook(t, id).Quantity; left+sold != copies || left != stored {
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
	operate(t, "db", "resume")
	if done := c.Await(t, path, "completed"); done.Step("capture").Attempts != 1 {
		t.Errorf("ended as %s", done.Text())
	}
}

// operate runs the operator's command and shows what it says.
func operate(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	out, err := cluster.OperatorCommand(ctx, args...).CombinedOutput()
	t.Logf("%q\n%s", args, out)
	if err != nil {
		t.Fatal(err)
	}
}
