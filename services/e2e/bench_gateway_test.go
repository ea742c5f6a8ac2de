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

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

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
	for path := "/books?limit=100"; ; {
		var list shoptest.Page[shoptest.Book]
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path}, &list)
		for _, b := range list.Items {
			ids = append(ids, b.ID)
		}
		if list.NextCursor == "" {
			return ids
		}
		path = "/books?limit=100&cursor=" + list.NextCursor
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
	for _, header := range headers { // not as arguments, which everybody on the machine can read
		name, value, _ := strings.Cut(header, ": ")
		lua += fmt.Sprintf("wrk.headers[%q] = %q\n", name, value)
	}
	if err := os.WriteFile(script, []byte(lua), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), length+30*time.Second)
	defer cancel()
	args := []string{"-t1", fmt.Sprintf("-c%d", wrkConnections), fmt.Sprintf("-d%ds", int(length.Seconds())), "-s", script}
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

// readAll reads n books, the ith as pick says, and checks every answer.
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

// startBare places the bare handler behind the ingress, for requests with the
// header X-Bench: bare. All of it is gone when the test ends.
func startBare(t *testing.T) {
	t.Helper()
	entries := cluster.Consul(t).ConfigEntries()
	set := func(entry consul.ConfigEntry) {
		t.Helper()
		if _, _, err := entries.Set(entry, nil); err != nil {
			t.Fatal(err)
		}
	}
	found, _, err := entries.Get(consul.ServiceRouter, "gateway", nil)
	if err != nil {
		t.Fatal(err)
	}
	router := found.(*consul.ServiceRouterConfigEntry)
	before := *router
	t.Cleanup(func() {
		if _, _, err := entries.Set(&before, nil); err != nil {
			t.Error(err)
		}
		if _, err := entries.Delete(consul.ServiceIntentions, "bare", nil); err != nil {
			t.Error(err)
		}
	})
	set(&consul.ServiceIntentionsConfigEntry{
		Kind: consul.ServiceIntentions, Name: "bare",
		Sources: []*consul.SourceIntention{{Name: "ingress", Action: consul.IntentionActionAllow}},
	})
	router.Routes = append([]consul.ServiceRoute{{
		Match: &consul.ServiceRouteMatch{HTTP: &consul.ServiceRouteHTTPMatch{
			PathPrefix: "/", Header: []consul.ServiceRouteHTTPMatchHeader{{Name: "x-bench", Exact: "bare"}},
		}},
		Destination: &consul.ServiceRouteDestination{Service: "bare"},
	}}, router.Routes...)
	set(router)

	buildImage(t, "bookstore/bare:bench", "./bare")
	runJob(t.Context(), t, "bare/bare.nomad.hcl")
	t.Cleanup(func() {
		if _, _, err := cluster.Nomad(t).Jobs().Deregister("bare", true, nil); err != nil {
			t.Error(err)
		}
	})
	cluster.WaitHealthy(t, 2, "bare")
	c := shoptest.NewClient(t, "")
	c.Check = nil // the bare handler is not in the document
	shoptest.Eventually(t, time.Minute, "the bare handler behind the ingress", func(ctx context.Context) error {
		a, err := c.Try(ctx, shoptest.Call{Method: "GET", Path: "/books/1", Header: map[string]string{"X-Bench": "bare"}})
		if err == nil && (a.Status != http.StatusOK || a.Header.Get("X-Request-Id") != "") {
			err = fmt.Errorf("got %v", a)
		}
		return err
	})
}

// imageArgs are the arguments for the image that the job runs now.
func imageArgs(ctx context.Context, t *testing.T, job string) []string {
	t.Helper()
	found, _, err := cluster.Nomad(t).Jobs().Info(job, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		t.Fatalf("look at job %s: %v", job, err)
	}
	image, _ := found.TaskGroups[0].Tasks[0].Config["image"].(string)
	_, version, _ := strings.Cut(image, ":")
	return []string{"-var", "version=" + version}
}

// runJob submits a job file and waits until it is deployed.
func runJob(ctx context.Context, t *testing.T, file string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(ctx, cluster.Tools+"nomad", append(append([]string{"job", "run"}, args...), file)...)
	command.Dir = "../.."
	command.Env = os.Environ()
	for name, value := range cluster.Operator(t) {
		command.Env = append(command.Env, name+"="+value)
	}
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("run %s: %v\n%s", file, err, out)
	}
}
