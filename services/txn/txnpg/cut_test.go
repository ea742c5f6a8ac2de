package txnpg_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnpg"
)

// hold holds decisions back for the longest time there is.
func (f fixture) hold(who string) {
	f.t.Helper()
	if held := f.holds("select cut_hold($1, interval '500 ms')", who); !held {
		f.t.Fatalf("%s could not hold decisions back", who)
	}
}

func (f fixture) holds(sql string, args ...any) (is bool) {
	f.t.Helper()
	if err := f.pool.QueryRow(f.t.Context(), sql, args...).Scan(&is); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return is
}

func TestADecisionIsHeldBackUntilTheCutIsReleased(t *testing.T) {
	t.Parallel()
	f := open(t)
	tx := f.claim("k")
	f.hold("one")
	if f.holds("select cut_hold('two', interval '500 ms')") {
		t.Error("two hold decisions back")
	}
	var released atomic.Bool
	var deciding sync.WaitGroup
	deciding.Go(func() {
		state, _, err := f.Decide(t.Context(), tx.GID, "a", commit)
		if err != nil || state != twophase.Committing {
			t.Errorf("decide: %s, %v", state, err)
		}
		if !released.Load() {
			t.Error("a decision was made while it was to be held back")
		}
	})
	<-time.After(100 * time.Millisecond)
	if f.holds("select exists (select from transactions where state = 'committing')") {
		t.Error("decided")
	}
	released.Store(true)
	if f.holds("select cut_release('two')") {
		t.Error("released by somebody else")
	}
	f.holds("select cut_release('one')") // false where this machine took more than half a second
	deciding.Wait()
}

// What a cut cannot do is to hold decisions back for long, whoever has died meanwhile.
func TestAHoldExpires(t *testing.T) {
	t.Parallel()
	f := open(t)
	tx := f.claim("k")
	f.hold("one")
	if state, _, err := f.Decide(t.Context(), tx.GID, "a", commit); err != nil || state != twophase.Committing {
		t.Errorf("decide: %s, %v", state, err)
	}
	if f.holds("select cut_release('one')") {
		t.Error("the lease had run out, and it says that it held")
	}
	if _, err := f.pool.Exec(t.Context(), "select cut_hold('one', interval '501 ms')"); err == nil {
		t.Error("decisions may be held back for longer than half a second")
	}
}

// Under decisions without a pause: what is decided when a hold begins can be seen then, and nothing follows.
func TestAHoldComesBetweenDecisions(t *testing.T) {
	t.Parallel()
	f := open(t)
	var stop atomic.Bool
	var deciding sync.WaitGroup
	for i := range 8 {
		deciding.Go(func() {
			for n := 0; !stop.Load(); n++ {
				tx := f.claim(fmt.Sprint(i, "-", n))
				if _, _, err := f.Decide(t.Context(), tx.GID, "a", commit); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const decided = "select count(*) from transactions where state = 'committing'"
	for range 20 {
		var before, after int
		f.hold("one")
		err := f.pool.QueryRow(t.Context(), decided).Scan(&before)
		if err == nil {
			err = f.pool.QueryRow(t.Context(), decided).Scan(&after)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.holds("select cut_release('one')") && before != after {
			t.Errorf("%d were decided when the hold began and %d later", before, after)
		}
	}
	stop.Store(true)
	deciding.Wait()
}

// What an exporter says of its version is what Prometheus reads, until the next version.
func TestTheWarehouseIsMeasured(t *testing.T) {
	t.Parallel()
	f := open(t)
	registry := prometheus.NewRegistry()
	w := txnpg.NewWarehouse(f.pool, registry)
	for _, c := range []struct {
		published string
		want      string
	}{{"select", "0 0"}, {"select cut_published(2, 5)", "2 5"}, {"select cut_published(0, 0)", "0 0"}} {
		if _, err := f.pool.Exec(t.Context(), c.published); err != nil {
			t.Fatal(err)
		}
		if err := w.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		missing, unchecked, _ := strings.Cut(c.want, " ")
		want := "# HELP warehouse_equations_unchecked Equations that could not be checked on the warehouse's last version.\n" +
			"# TYPE warehouse_equations_unchecked gauge\nwarehouse_equations_unchecked " + unchecked + "\n" +
			"# HELP warehouse_tables_missing Tables that could not be read at the cut of the warehouse's last version.\n" +
			"# TYPE warehouse_tables_missing gauge\nwarehouse_tables_missing " + missing + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Errorf("after %s: %v", c.published, err)
		}
	}
}
