//go:build drill

package drills

import (
	"context"
	"testing"
	"time"
)

// outcome is what one run of a drill cost.
type outcome struct {
	drill                                    string
	rows, orders, replicaReads, lists, books time.Duration // the longest times without
	whole                                    time.Duration
	lost, half                               int
}

func (o *outcome) measure(l *load, harmed time.Time) {
	o.rows = l.writers.track.gap(harmed, l.until)
	o.orders = l.customer.orders.gap(harmed, l.until)
	o.replicaReads = l.readers.track.gap(harmed, l.until)
	o.lists = l.customer.lists.gap(harmed, l.until)
	for _, book := range l.customer.reads {
		o.books = max(o.books, book.gap(harmed, l.until))
	}
}

// judge counts what must not be, and holds the run to its bars.
func (o *outcome) judge(t *testing.T, s *scene, b bars) {
	t.Helper()
	for name, c := range map[string]struct{ took, allowed time.Duration }{
		"no row was acknowledged":   {o.rows, b.writes},
		"no order was acknowledged": {o.orders, b.writes},
		"no replica answered":       {o.replicaReads, b.replicaReads},
		"no list was served":        {o.lists, b.replicaReads},
		"a cached book was missing": {o.books, b.cachedReads},
	} {
		if c.took > c.allowed {
			t.Errorf("%s for %.2f s, allowed are %s", name, c.took.Seconds(), c.allowed)
		}
	}
	if c := s.load.customer; c.unsettled > 0 {
		t.Errorf("%d orders were not settled %s after the load, the last answer: %s", c.unsettled, settleWithin, c.last)
	}
	if s.load.loyal.stale > staleBound {
		t.Errorf("the old leader answered stale reads for %s, allowed are %s", s.load.loyal.stale, staleBound)
	}
	o.lost = o.count(t, "acknowledged rows are not there", s.load.writers.lost) +
		o.count(t, "orders are not as they were acknowledged", s.load.customer.lost)
	o.half = o.count(t, "rows of a deposed leader survived", s.load.loyal.survived) + s.load.loyal.acknowledged +
		o.count(t, "transactions are half done", s.half)
	t.Logf("%d rows and %d orders acknowledged; without: rows %.2f s, orders %.2f s, replica reads %.2f s, lists %.2f s, cached reads %.2f s; whole %.1f s after the harm; lost %d, half %d",
		len(s.load.writers.acked), len(s.load.customer.acked), o.rows.Seconds(), o.orders.Seconds(),
		o.replicaReads.Seconds(), o.lists.Seconds(), o.books.Seconds(), o.whole.Seconds(), o.lost, o.half)
	t.Logf("orders were also answered with %v", s.load.customer.refused)
}

// countWithin bounds one count.
const countWithin = time.Minute

// count reports what must be none. What cannot be counted counts as one.
func (*outcome) count(t *testing.T, what string, how func(context.Context) (int, error)) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), countWithin)
	defer cancel()
	n, err := how(ctx)
	if err != nil {
		t.Errorf("count how many %s: %v", what, err)
		return 1
	}
	if n > 0 {
		t.Errorf("%d %s", n, what)
	}
	return n
}
