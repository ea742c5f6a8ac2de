//go:build e2e && bench

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// wrkConnections is how many requests wrk keeps in flight.
const wrkConnections = 32

var wrkRate = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// wrk reads these books in turn for a while and returns how many a second. An
// answer that is no success fails the test.
func wrk(t *testing.T, ids []int64, length time.Duration, headers ...string) float64 {
	t.Helper()
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.FormatInt(id, 10)
	}
	script := filepath.Join(t.TempDir(), "books.lua")
	lua := fmt.Sprintf("local ids = {%s}\nlocal n = 0\n"+
		"request = function() n = n + 1; return wrk.format('GET', '/books/' .. ids[n %% #ids + 1]) end\n",
		strings.Join(texts, ","))
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), length+30*time.Second)
	defer cancel()
	args := []string{"-t1", fmt.Sprintf("-c%d", wrkConnections), fmt.Sprintf("-d%ds", int(length.Seconds())), "-s", script}
	for _, header := range headers {
		args = append(args, "-H", header)
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, shoptest.BaseURL(t))...).CombinedOutput()
	found := wrkRate.FindSubmatch(out)
	if err != nil || found == nil || strings.Contains(string(out), "Non-2xx") {
		t.Fatalf("wrk: %v\n%s", err, out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return rate
}

// sources are where answers to reads of books may come from.
var sources = []string{"near", "shared", "miss", "stale", "none"}

// answered is how many reads of books the gateways have answered from each source.
func answered(t *testing.T) map[string]float64 {
	t.Helper()
	all, err := cluster.Measured(t.Context(), t, "gateway")
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]float64{}
	for _, gateway := range all {
		for _, source := range sources {
			from[source] += gateway.Sum("cache_reads_total", `of="books"`, fmt.Sprintf("source=%q", source))
		}
	}
	return from
}

// requireSource fails the test unless nearly all reads in between came from
// there: a rate of something else would say nothing.
func requireSource(t *testing.T, before, after map[string]float64, source string) {
	t.Helper()
	total := 0.0
	for _, s := range sources {
		total += after[s] - before[s]
	}
	share := (after[source] - before[source]) / total
	fmt.Printf("  %.2f %% of %.0f reads were %s\n", 100*share, total, source)
	if !(share > 0.99) {
		t.Errorf("answered by others than %q: %v, then %v", source, before, after)
	}
}

// reads is what became of a number of reads.
type reads struct {
	hits     float64 // share of near and shared
	p50, p99 time.Duration
	took     time.Duration
}

// readers is how many clients of readAll read side by side.
const readers = 16

// readAll reads n books, the ith as pick says, and judges every answer.
func readAll(t *testing.T, reader *shoptest.Client, n int, pick func(i int) int64) reads {
	t.Helper()
	times, hit := make([]time.Duration, n), make([]bool, n)
	began := time.Now()
	var reading sync.WaitGroup
	for worker := range readers {
		reading.Go(func() {
			for i := worker; i < n; i += readers {
				begin := time.Now()
				a, err := reader.Try(t.Context(), shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", pick(i))})
				if err != nil || a.Status != http.StatusOK {
					t.Errorf("read: %v, %v", a, err)
					return
				}
				source := a.Header.Get("X-Cache")
				times[i], hit[i] = time.Since(begin), source == "near" || source == "shared"
			}
		})
	}
	reading.Wait()
	took, hits := time.Since(began), 0
	for _, h := range hit {
		if h {
			hits++
		}
	}
	slices.Sort(times)
	return reads{hits: float64(hits) / float64(n), p50: times[n/2], p99: times[n*99/100], took: took}
}

func clearCache(t *testing.T) {
	t.Helper()
	shoptest.Operator(t).Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: "/cache"}, nil)
}

// missRate reads every book once, from empty caches, and returns how many a
// second.
func missRate(t *testing.T, reader *shoptest.Client, ids []int64) float64 {
	t.Helper()
	clearCache(t)
	r := readAll(t, reader, len(ids), func(i int) int64 { return ids[i] })
	fmt.Printf("  misses: %d in %.1f s, p99 %v\n", len(ids), r.took.Seconds(), r.p99)
	return float64(len(ids)) / r.took.Seconds()
}

// readZipf reads as customers do, few books often and most seldom (exponent
// 1.1), from empty caches.
func readZipf(t *testing.T, reader *shoptest.Client, ids []int64) reads {
	t.Helper()
	clearCache(t)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(len(ids)-1))
	picks := make([]int64, zipfReads)
	for i := range picks {
		picks[i] = ids[zipf.Uint64()]
	}
	return readAll(t, reader, len(picks), func(i int) int64 { return picks[i] })
}
