//go:build e2e && bench

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// figures are the lines that a run ends with.
var figures []string

func figure(name, format string, value any) {
	figures = append(figures, "figure "+name+" "+fmt.Sprintf(format, value))
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, line := range figures {
		fmt.Println(line)
	}
	os.Exit(code)
}

// The sizes of the benchmark.
const (
	rounds    = 15
	roundTime = 2 * time.Second // short, so that what disturbs one of a pair disturbs the other
	hotBooks  = 64
	zipfReads = 20_000
)

// TestGateway measures what the gateway's cache costs and saves, through the
// ingress, beside a handler that does nothing in the gateway's place.
func TestGateway(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	reader := shoptest.NewClient(t, shoptest.Token(t, "BENCH_TOKEN"))
	reader.Check = nil // its time is to be the shop's
	ids := everyBook(t, reader)
	fmt.Printf("%d books\n", len(ids))
	startBare(t)

	hot := ids[:min(hotBooks, len(ids))]
	near := compare(t, reader, hot, "near")
	figure("near_cached_ratio", "%.3f", near.ratio)
	figure("near_cached_per_s", "%.0f", near.rate)

	redeployGateway(t, "-var", "near_cache_bytes=1")
	shared := compare(t, reader, hot, "shared")
	figure("shared_hit_ratio", "%.3f", shared.ratio)
	figure("shared_hit_per_s", "%.0f", shared.rate)
	figure("miss_per_s", "%.0f", missRate(t, reader, ids))
	redeployGateway(t)

	zipf := readZipf(t, reader, ids)
	figure("zipf_hit_ratio", "%.3f", zipf.hits)
	figure("zipf_p50_ms", "%.2f", milliseconds(zipf.p50))
	figure("zipf_p99_ms", "%.2f", milliseconds(zipf.p99))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// compared is a rate of reads, also as the share of the bare handler's.
type compared struct{ rate, ratio float64 }

// compare reads the hot books from the bare handler and from the gateway in
// turn, and takes the median of the rounds' ratios: what slows the machine down
// for a while slows down both.
func compare(t *testing.T, reader *shoptest.Client, ids []int64, source string) compared {
	t.Helper()
	for _, id := range ids {
		shoptest.Eventually(t, time.Minute, fmt.Sprintf("book %d comes from %s", id, source), func(ctx context.Context) error {
			a, err := reader.Try(ctx, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", id)})
			if err == nil && a.Header.Get("X-Cache") != source {
				err = fmt.Errorf("it comes from %q", a.Header.Get("X-Cache"))
			}
			return err
		})
	}
	before := answered(t)
	var rates, ratios []float64
	for range rounds {
		bearer := "Authorization: Bearer " + reader.Token
		bare := wrk(t, ids, roundTime, bearer, "X-Bench: bare")
		rate := wrk(t, ids, roundTime, bearer)
		fmt.Printf("  %-7s %6.0f/s, bare %6.0f/s, %.3f\n", source, rate, bare, rate/bare)
		rates, ratios = append(rates, rate), append(ratios, rate/bare)
	}
	requireSource(t, before, answered(t), source)
	return compared{median(rates), median(ratios)}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// everyBook lists the ids of all books.
func everyBook(t *testing.T, c *shoptest.Client) (ids []int64) {
	t.Helper()
	for cursor := ""; ; {
		var list shoptest.Page[shoptest.Book]
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/books?limit=100&cursor=" + cursor}, &list)
		for _, b := range list.Items {
			ids = append(ids, b.ID)
		}
		if cursor = list.NextCursor; cursor == "" {
			return ids
		}
	}
}

// redeployGateway runs the gateway's job with these arguments; the end of the
// test runs it as it was.
func redeployGateway(t *testing.T, args ...string) {
	t.Helper()
	image := imageArgs(t.Context(), t, "gateway")
	t.Cleanup(func() { runJob(context.Background(), t, "../../jobs/gateway.nomad.hcl", image...) })
	runJob(t.Context(), t, "../../jobs/gateway.nomad.hcl", append(image, args...)...)
	cluster.WaitDeployed(t, "gateway")
	cluster.WaitHealthy(t, 2, "gateway")
}
