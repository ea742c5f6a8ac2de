//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// faultyInstance is a second instance of books that fails on command, beside a real one.
type faultyInstance struct{ address string }

// startFaulty puts it in the place of one of the two; the end of the test undoes it. It returns
// when no gateway holds an earlier failure against either.
func startFaulty(t *testing.T) *faultyInstance {
	t.Helper()
	buildImage(t, "bookstore/faulty:test", "./faulty")
	cluster.WaitDeployed(t, "books")
	scaleDuring(t, "books", 1, 2)
	cluster.WaitHealthy(t, 1, "books")
	t.Cleanup(func() { removeFaulty(t) })
	place(t, "faulty/faulty.nomad.hcl")
	f := &faultyInstance{}
	shoptest.Eventually(t, time.Minute, "a faulty instance of books", func(ctx context.Context) error {
		at, err := faultyAddress(ctx, t)
		if f.address = at; err == nil && at == "" {
			err = errors.New("it is not in Consul")
		}
		return err
	})
	logEjections(t, "books")
	shoptest.Eventually(t, time.Minute, "no gateway keeps an instance of books out", func(ctx context.Context) error {
		found, err := known(ctx, t, "books")
		for gateway, k := range found {
			if k.members != 2 || k.ejected != 0 {
				err = fmt.Errorf("gateway %s: %+v", gateway, k)
			}
		}
		return err
	})
	return f
}

// knownInstances is what a gateway's sidecar makes of a service's instances.
type knownInstances struct{ members, healthy, ejected, ejections, timeouts, retries, unreached float64 }

// known reads the metrics of all gateways' sidecars.
func known(ctx context.Context, t testing.TB, service string) (map[string]knownInstances, error) {
	t.Helper()
	all, err := cluster.MeasuredAt(ctx, t, "gateway", "envoy")
	found := map[string]knownInstances{}
	for gateway, s := range all {
		sum := func(name string) float64 {
			return s.Sum("envoy_cluster_"+name, fmt.Sprintf("consul_destination_service=%q", service))
		}
		found[gateway] = knownInstances{
			members: sum("membership_total"), healthy: sum("membership_healthy"),
			ejected: sum("outlier_detection_ejections_active"), ejections: sum("outlier_detection_ejections_enforced_total"),
			timeouts: sum("upstream_rq_timeout"), retries: sum("upstream_rq_retry"), unreached: sum("upstream_cx_connect_fail"),
		}
	}
	return found, err
}

// logEjections logs at the end of a test that failed what the gateways' sidecars knew then.
func logEjections(t *testing.T, service string) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		found, err := known(ctx, t, service)
		t.Logf("the gateways' sidecars know of %s: %+v %v", service, found, err)
	})
}

// faultyAddress is the address of its control port, empty while there is none.
func faultyAddress(ctx context.Context, t testing.TB) (string, error) {
	t.Helper()
	entries, err := cluster.Healthy(ctx, t, "books", "")
	for _, e := range entries {
		if control := e.Service.Meta["control"]; control != "" {
			return control, err
		}
	}
	return "", err
}

// set makes it healthy ("well"), or makes it fail: by 503, hang or slow.
func (f *faultyInstance) set(t *testing.T, mode string) {
	t.Helper()
	f.control(t, "/control?mode="+mode)
}

// calls is how many calls have come to it.
func (f *faultyInstance) calls(t *testing.T) int64 { t.Helper(); return f.control(t, "/control") }

func (f *faultyInstance) control(t *testing.T, path string) int64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+f.address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 64))
	if err != nil {
		t.Fatal(err)
	}
	calls, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatalf("%s: %d %s", path, res.StatusCode, text)
	}
	return calls
}

// waitShare polls until, of n reads in a row, the share that comes to the instance is right.
func (f *faultyInstance) waitShare(t *testing.T, l *shoptest.Load, within time.Duration, n int64, what string, right func(share float64) bool) {
	t.Helper()
	calls, sent := f.calls(t), l.Sent()
	shoptest.Eventually(t, within, what, func(context.Context) error {
		if now := l.Sent(); now < sent+n {
			return fmt.Errorf("only %d reads were sent", now-sent)
		}
		share := float64(f.calls(t)-calls) / float64(l.Sent()-sent)
		calls, sent = f.calls(t), l.Sent()
		if !right(share) {
			return fmt.Errorf("%.0f %% of the reads come to it", 100*share)
		}
		return nil
	})
}

// buildImage makes the image of a program of these tests as the services' are made.
func buildImage(t *testing.T, image, program string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", filepath.Join(dir, "service"), program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	recipe, err := os.ReadFile("../Dockerfile")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "Dockerfile"), recipe, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	bake := exec.CommandContext(ctx, "docker", "build", "-t", image, dir)
	bake.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	if out, err := bake.CombinedOutput(); err != nil {
		t.Fatalf("build the image %s: %v\n%s", image, err, out)
	}
}

// place runs a job that only tests know.
func place(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	job, err := cluster.Nomad(t).Jobs().ParseHCL(string(text), true)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if _, _, err := cluster.Nomad(t).Jobs().Register(job, nil); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// removeFaulty returns when it is no instance of books in Consul any more.
func removeFaulty(t *testing.T) {
	t.Helper()
	if _, _, err := cluster.Nomad(t).Jobs().Deregister("faulty", true, nil); err != nil {
		t.Errorf("remove the faulty instance: %v", err)
	}
	restored(t, time.Minute, "the faulty instance is gone", func(ctx context.Context) error {
		at, err := faultyAddress(ctx, t)
		if err == nil && at != "" {
			err = fmt.Errorf("its control port is %s", at)
		}
		return err
	})
}

// The instance that fails is found by the calls that fail alone, for its readiness does not
// know of it. The sidecars send what failed to the other instance and soon nothing more to
// this one; well again, it is given its share again.
func TestOneInstanceAnswers503(t *testing.T) { requireEjected(t, "503") }

func TestOneInstanceHangs(t *testing.T) { requireEjected(t, "hang") }

// Slow is failed: the mesh ends a read after half a second, and counts it.
func TestOneInstanceIsSlow(t *testing.T) { requireEjected(t, "slow") }

// fewFailures is what clients may see of a failing instance, of some hundred reads that come
// to it: until both gateways' sidecars have seen three calls fail, a call may meet it twice.
const fewFailures = 8

func requireEjected(t *testing.T, mode string) {
	t.Helper()
	cluster.WaitHealthy(t, 2, cluster.Services...)
	b := shoptest.Shop(t).AddBook(t, "Faulty "+mode, 5)
	f := startFaulty(t)
	// What is available is never cached: every read comes to an instance of books.
	l := shoptest.StartReads(t, 60, fmt.Sprintf("/books/%d/availability", b.ID))
	fair := func(share float64) bool { return share > 0.25 }
	f.waitShare(t, l, 30*time.Second, 60, "the instance has its share while it is well", fair)
	l.RequireFailures(t, 0)

	f.set(t, mode)
	began := time.Now()
	f.waitShare(t, l, 30*time.Second, 180, "the instance is ejected", func(share float64) bool { return share == 0 })
	ejected := time.Since(began)
	f.set(t, "well")
	l.RequireFailures(t, fewFailures)
	failed := len(l.Failed(""))
	f.waitShare(t, l, 90*time.Second, 60, "the instance has its share again", fair)
	t.Logf("%s: three seconds without a call %.1f s after it began to fail, of %d reads %d failed; back after %.1f s",
		mode, ejected.Seconds(), l.Sent(), failed, time.Since(began).Seconds())
	l.RequireFailures(t, failed)
	l.Finish()
}

// What a call cost in reroutes counts only where it ends failed, and any success sets that
// back: however many clients there are, one dead instance of two opens no circuit. Until it is
// ejected, which takes three calls of each gateway, a call may meet it each time that it is sent again.
func TestOneDeadInstanceOpensNoCircuit(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	path := fmt.Sprintf("/books/%d/availability", shoptest.Shop(t).AddBook(t, "One dead", 5).ID)
	f := startFaulty(t)
	before := opened(t, "books")
	f.set(t, "503")
	failed, rounds := 0, 0
	shoptest.Eventually(t, 30*time.Second, "the dead instance is ejected", func(context.Context) error {
		calls := f.calls(t)
		rounds++
		failed += len(parallelReads(t, path))
		if now := f.calls(t); now == 0 || now > calls {
			return fmt.Errorf("%d calls have come to it, %d of them just now", now, now-calls)
		}
		return nil
	})
	if after := parallelReads(t, path); len(after) > fewFailures {
		t.Errorf("%d reads failed after it was ejected: %v", len(after), after)
	}
	if n := opened(t, "books") - before; n > 0 {
		t.Errorf("%.0f circuits were opened", n)
	}
	if failed > fewFailures {
		t.Errorf("%d reads failed until it was", failed)
	}
	t.Logf("ejected within %d rounds: %d calls came to the dead instance, %d reads failed", rounds, f.calls(t), failed)
}

// betweenReads is the pause of each client between its reads: 32 who never wait take all of
// two cores, and an instance that gets no time looks like one that hangs.
const betweenReads = 200 * time.Millisecond

// parallelReads has 32 clients at once read one path, ten times each, and returns how what failed was answered.
func parallelReads(t *testing.T, path string) (failed []string) {
	t.Helper()
	c := shoptest.Shop(t)
	var mu sync.Mutex
	shoptest.Parallel(32, func(int) {
		pace := time.NewTicker(betweenReads)
		defer pace.Stop()
		for range 10 {
			a, err := c.Try(t.Context(), shoptest.Call{Method: http.MethodGet, Path: path})
			if err != nil || a.Status != http.StatusOK {
				mu.Lock()
				failed = append(failed, fmt.Sprintf("%v %v", a, err))
				mu.Unlock()
			}
			<-pace.C
		}
	})
	return failed
}
