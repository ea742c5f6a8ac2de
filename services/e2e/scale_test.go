//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// scaleDuring sets the count of a job for a test; the end of the test waits until it is as it was.
func scaleDuring(t *testing.T, job string, during, after int) {
	t.Helper()
	asked := false
	back := func(ctx context.Context) (err error) {
		if !asked {
			if err = scaleBack(ctx, t, job, after); err != nil {
				return err
			}
			asked = true
		}
		entries, err := cluster.Healthy(ctx, t, job, "")
		if err == nil && len(entries) != after {
			err = fmt.Errorf("%d are healthy", len(entries))
		}
		return err
	}
	t.Cleanup(func() { restored(t, 2*time.Minute, fmt.Sprintf("%s has %d instances again", job, after), back) })
	scale(t.Context(), t, job, during)
}

// scaleBack sets a count, unless it is set. Nomad refuses that while the job is being deployed.
func scaleBack(ctx context.Context, t *testing.T, job string, count int) error {
	t.Helper()
	jobs := cluster.Nomad(t).Jobs()
	found, _, err := jobs.Info(job, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil || *found.TaskGroups[0].Count == count {
		return err
	}
	_, _, err = jobs.Scale(job, job, &count, "end of an end-to-end test", false, nil, (&nomad.WriteOptions{}).WithContext(ctx))
	return err
}

// restored is eventually for the end of a test, whose own context is over by then.
func restored(t *testing.T, within time.Duration, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s: not within %s: %v", what, within, err)
			return
		case <-tick.C:
		}
	}
}

// spread is the share of a rate that each instance answered since the last look.
type spread struct {
	at   time.Time
	seen map[string]float64
}

// requireShares: within seconds each of n instances answers at least half of what would be its
// fair share of these reads, looked at for a second at a time. Five seconds are the aim, and what
// it took is logged; two cores on which containers start have been seen to take longer.
func requireShares(t *testing.T, service string, n int, labels ...string) {
	t.Helper()
	var last spread
	var unfair error
	began := time.Now()
	shoptest.Eventually(t, 20*time.Second, fmt.Sprintf("each of %d instances of %s has its share", n, service), func(ctx context.Context) error {
		if time.Since(last.at) < time.Second && last.seen != nil {
			return unfair
		}
		all, err := cluster.Measured(ctx, t, service)
		if err != nil {
			return err
		}
		now, before := spread{time.Now(), map[string]float64{}}, last
		total := 0.0
		for id, s := range all {
			now.seen[id] = s.Sum("http_requests_total", labels...)
			total += now.seen[id] - before.seen[id]
		}
		last, unfair = now, nil
		if before.seen == nil || len(all) != n {
			unfair = fmt.Errorf("%d instances", len(all))
		}
		for id := range all {
			if share := (now.seen[id] - before.seen[id]) / total; total == 0 || share < 0.5/float64(n) {
				unfair = fmt.Errorf("%s has %.0f %% of %.0f", id, 100*share, total)
			}
		}
		return unfair
	})
	t.Logf("each of %d instances has its share after %.1f s", n, time.Since(began).Seconds())
}

// Two instances of books become four and two again, under orders and reads that no cache
// answers: none fails, and the new ones have their share as soon as they are healthy.
func TestScalingSpreadsTrafficAndLosesNoRequest(t *testing.T) {
	const route = `route="/books/:id/availability"`
	cluster.WaitHealthy(t, 2, cluster.Services...)
	cluster.WaitDeployed(t, "books")
	tellOfEjections(t, "books")
	reads := shoptest.StartReads(t, shoptest.BesideOthers, fmt.Sprintf("/books/%d/availability", shoptest.Shop(t).AddBook(t, "Spread", 5).ID))
	mix := shoptest.StartEveryday(t)
	mix.More(t, "", 100)
	requireShares(t, "books", 2, route)
	scaleDuring(t, "books", 4, 2)
	cluster.WaitHealthy(t, 4, "books")
	requireShares(t, "books", 4, route)
	cluster.WaitDeployed(t, "books")
	scale(t.Context(), t, "books", 2)
	cluster.WaitHealthy(t, 2, "books")
	requireShares(t, "books", 2, route)
	cluster.WaitRunning(t, "books", 2)
	cluster.WaitDeployed(t, "books")
	mix.More(t, "", 100)
	mix.RequireNoFailure(t)
	reads.Finish()
	reads.RequireFailures(t, 0)
	t.Logf("%d reads", reads.Sent())
	cluster.RequireNothingInDoubt(t)
}
