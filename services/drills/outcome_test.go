//go:build drill

package drills

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
	"bookstore/services/shoptest/hosts"
)

// outcome is what one run of a scenario cost.
type outcome struct {
	scenario                                 string
	rows, orders, replicaReads, lists, books time.Duration // the longest times without
	whole                                    time.Duration
	failedReads, failedOrders                []shoptest.Result
	readP99, slowestOrder                    time.Duration
	lost, half                               int
}

func (o *outcome) measure(l *load, harmed time.Time) {
	o.orders = l.shop.Gap(shoptest.Orders, "", harmed)
	o.lists = l.shop.Gap(shoptest.Lists, "", harmed)
	for _, book := range l.cached {
		o.books = max(o.books, l.shop.Gap(cachedReads, shoptest.BookPath(book), harmed))
	}
	if l.writers != nil {
		o.rows = l.writers.track.Gap(harmed, l.until)
		o.replicaReads = l.readers.track.Gap(harmed, l.until)
	}
	o.failedReads = append(l.shop.Failed(shoptest.Another), l.shop.Failed(shoptest.Books)...)
	o.failedOrders = l.shop.Failed(shoptest.Orders)
	o.readP99 = quantile(l.shop.Results(shoptest.Books), harmed, 0.99)
	o.slowestOrder = quantile(l.shop.Results(shoptest.Orders), harmed, 1)
}

// quantile is how long this share of the requests took at most that were sent since then.
func quantile(results []shoptest.Result, since time.Time, share float64) time.Duration {
	var took []time.Duration
	for _, r := range results {
		if r.Began.After(since) {
			took = append(took, r.Ended.Sub(r.Began))
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(share*float64(len(took))))]
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
		"a read took":               {o.readP99, b.readP99},
		"an order took":             {o.slowestOrder, b.slowestOrder},
	} {
		if c.allowed > 0 && c.took > c.allowed {
			t.Errorf("%s for %.2f s, allowed are %s", name, c.took.Seconds(), c.allowed)
		}
	}
	if len(o.failedReads) > b.failedReads || len(o.failedOrders) > b.failedOrders {
		t.Errorf("%d reads and %d answers to orders failed, allowed are %d and %d", len(o.failedReads), len(o.failedOrders), b.failedReads, b.failedOrders)
	}
	l := s.load
	l.shop.RequireRight(t)
	var beside int
	o.lost, beside = cluster.RequireKept(t, l.shop, copies)
	o.half = beside + cluster.RequireNothingInDoubt(t) + cluster.RequireLedgerBalanced(t)
	rows := 0
	if l.writers != nil {
		rows = len(l.writers.acked)
		o.judgeDatabase(t, l, s.watch.ids())
	}
	if s.watch != nil {
		o.half += s.watch.judge(t)
	}
	t.Logf("%d rows and %d orders acknowledged; without: rows %.2f s, orders %.2f s, replica reads %.2f s, lists %.2f s, cached reads %.2f s; whole %.1f s after the harm; lost %d, half %d",
		rows, len(l.shop.Acks()), o.rows.Seconds(), o.orders.Seconds(),
		o.replicaReads.Seconds(), o.lists.Seconds(), o.books.Seconds(), o.whole.Seconds(), o.lost, o.half)
	t.Logf("%d reads failed, %d answers to orders; the p99 of reads %s, the slowest order %s; %s\n%s%s",
		len(o.failedReads), len(o.failedOrders), o.readP99, o.slowestOrder, l.shop.Tally.Text(),
		shoptest.Examples(o.failedReads), shoptest.Examples(o.failedOrders))
}

// judgeDatabase counts rows that are lost, also of those that a watch had members write, and those of a leader that was deposed.
func (o *outcome) judgeDatabase(t *testing.T, l *load, watched []int64) {
	t.Helper()
	if l.deposed.stale > staleBound {
		t.Errorf("the old leader answered stale reads for %s, allowed are %s", l.deposed.stale, staleBound)
	}
	o.lost += o.count(t, "acknowledged rows are not there", func(ctx context.Context) (int, error) { return l.writers.lost(ctx, watched) })
	o.half += o.count(t, "rows of a deposed leader survived", l.deposed.survived) + l.deposed.acknowledged
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

// report is what all runs cost.
type report struct {
	table table
	runs  []outcome
}

func (r *report) add(o outcome) { r.runs = append(r.runs, o) }

// print writes one line a drill, median and worst, and then the figures.
func (r *report) print() {
	if len(r.runs) == 0 {
		return
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nseconds without, median / worst\nDRILL\tRUNS\tROWS\tORDERS\tREPLICA READS\tLISTS\tCACHED READS\tWHOLE AFTER\tLOST\tHALF")
	lost, half := 0, 0
	var figures []string
	for _, d := range r.table.scenarios {
		var runs []outcome
		for _, o := range r.runs {
			if o.scenario == d.name {
				runs = append(runs, o)
			}
		}
		if len(runs) == 0 {
			continue
		}
		fmt.Fprintf(table, "%s\t%d", d.name, len(runs))
		for _, of := range []func(outcome) time.Duration{
			func(o outcome) time.Duration { return o.rows },
			func(o outcome) time.Duration { return o.orders },
			func(o outcome) time.Duration { return o.replicaReads },
			func(o outcome) time.Duration { return o.lists },
			func(o outcome) time.Duration { return o.books },
			func(o outcome) time.Duration { return o.whole },
		} {
			all := sorted(runs, of)
			fmt.Fprintf(table, "\t%.2f / %.2f", all[(len(all)-1)/2].Seconds(), all[len(all)-1].Seconds())
		}
		lostHere, halfHere := 0, 0
		for _, o := range runs {
			lostHere, halfHere = lostHere+o.lost, halfHere+o.half
		}
		fmt.Fprintf(table, "\t%d\t%d\n", lostHere, halfHere)
		lost, half = lost+lostHere, half+halfHere
		worst := func(of func(outcome) time.Duration) float64 { return slices.Max(sorted(runs, of)).Seconds() }
		name := strings.ReplaceAll(d.name, "-", "_")
		if hosts.InUse() {
			name = "host_" + strings.TrimPrefix(name, "host_")
			figures = append(figures,
				fmt.Sprintf("figure %s_orders_s %.2f", name, worst(func(o outcome) time.Duration { return o.orders })),
				fmt.Sprintf("figure %s_books_s %.2f", name, worst(func(o outcome) time.Duration { return o.books })))
			continue
		}
		figures = append(figures, fmt.Sprintf("figure rto_%s_s %.2f", name, worst(func(o outcome) time.Duration { return max(o.rows, o.orders) })))
	}
	_ = table.Flush() // a table that cannot be printed is missed by who reads it
	for _, line := range figures {
		fmt.Println(line)
	}
	fmt.Printf("figure lost_rows %d\nfigure half_transactions %d\n", lost, half)
}

func sorted(runs []outcome, of func(outcome) time.Duration) (all []time.Duration) {
	for _, o := range runs {
		all = append(all, of(o))
	}
	slices.Sort(all)
	return all
}
