//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
)

// samples are one instance's metrics, each by its name and labels as they stand there.
type samples map[string]float64

// sum adds what bears this name and these labels.
func (s samples) sum(name string, labels ...string) (total float64) {
	for sample, value := range s {
		given, rest, _ := strings.Cut(sample, "{")
		missing := func(label string) bool { return !strings.Contains(","+rest, ","+label) }
		if given == name && !slices.ContainsFunc(labels, missing) {
			total += value
		}
	}
	return total
}

// measured asks every healthy instance of a service for its metrics.
func measured(ctx context.Context, t testing.TB, service string) (map[string]samples, error) {
	t.Helper()
	return measuredAt(ctx, t, service, "metrics")
}

// measuredAt asks at the address that instances tell as this: metrics, or envoy for the sidecar's.
func measuredAt(ctx context.Context, t testing.TB, service, told string) (map[string]samples, error) {
	t.Helper()
	entries, err := healthy(ctx, t, service, "")
	if err != nil {
		return nil, err
	}
	all := map[string]samples{}
	for _, e := range entries {
		if all[e.Service.ID], err = scrape(ctx, e.Service.Meta[told]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func scrape(ctx context.Context, address string) (samples, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	found := samples{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || lines.Text()[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", lines.Text(), err)
		}
		found[lines.Text()[:at]] = value
	}
	return found, lines.Err()
}

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
		entries, err := healthy(ctx, t, job, "")
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
	jobs := nomadClient(t).Jobs()
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
		all, err := measured(ctx, t, service)
		if err != nil {
			return err
		}
		now, before := spread{time.Now(), map[string]float64{}}, last
		total := 0.0
		for id, s := range all {
			now.seen[id] = s.sum("http_requests_total", labels...)
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
	waitHealthy(t, 2, services...)
	waitDeployed(t, "books")
	tellOfEjections(t, "books")
	reads := startReads(t, besideOthers, fmt.Sprintf("/books/%d/availability", shoptest.Shop(t).AddBook(t, "Spread", 5).ID))
	mix := startLoad(t, besideOthers)
	mix.more(t, 100)
	requireShares(t, "books", 2, route)
	scaleDuring(t, "books", 4, 2)
	waitHealthy(t, 4, "books")
	requireShares(t, "books", 4, route)
	waitDeployed(t, "books")
	scale(t.Context(), t, "books", 2)
	waitHealthy(t, 2, "books")
	requireShares(t, "books", 2, route)
	waitRunning(t, "books", 2)
	waitDeployed(t, "books")
	mix.more(t, 100)
	mix.requireNoFailure(t)
	reads.end()
	reads.requireFailures(t, 0)
	t.Logf("%d reads", reads.sent.Load())
	requireNothingInDoubt(t)
}
