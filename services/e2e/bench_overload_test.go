//go:build e2e && bench

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// The offered load and how it is made.
const (
	capacityClients = 32
	capacityTime    = 5 * time.Second
	offeredTime     = 10 * time.Second
	offeredRounds   = 3
	mostWaiting     = 4096
	offerTimeout    = 10 * time.Second
)

// offered is what became of an open load: requests that come when they come,
// whether or not those before are answered.
type offered struct {
	perSecond              float64
	admitted, shed, failed int
	p99                    time.Duration // of the admitted, from when each was due
	late                   time.Duration // the p99 of how long after that they were sent
	own                    float64       // the share of all CPUs that went into offering
}

// TestOverload offers a call that no cache answers, at 80 % of what the shop can
// carry and at twice as much as it can, in turn, and compares how long those wait
// who are let in.
func TestOverload(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	reader := shoptest.NewClient(t, shoptest.Token(t, "BENCH_TOKEN"))
	reader.Check = nil // its time is to be the shop's
	ids := everyBook(t, reader)
	o := newOfferer(t, reader, ids[:min(hotBooks, len(ids))])
	capacity := o.capacity()
	var ratios, admitted, refused []float64
	for range offeredRounds {
		calm, rush := o.offer(0.8*capacity), o.offer(2*capacity)
		for _, r := range []offered{calm, rush} {
			fmt.Printf("  %.0f/s offered: %d admitted, %d shed, %d failed, p99 %v, sent up to %v late by %.0f %% of the CPUs\n",
				r.perSecond, r.admitted, r.shed, r.failed, r.p99, r.late, 100*r.own)
		}
		ratios = append(ratios, float64(rush.p99)/float64(calm.p99))
		admitted = append(admitted, float64(rush.admitted)/(capacity*offeredTime.Seconds()))
		refused = append(refused, float64(calm.shed)/float64(calm.shed+calm.admitted))
	}
	fmt.Println("  what failed:", o.failures.Text())
	figure("overload_capacity_per_s", "%.0f", capacity)
	figure("overload_p99_ratio", "%.2f", median(ratios))
	figure("overload_admitted_ratio", "%.2f", median(admitted))
	figure("overload_calm_shed_ratio", "%.3f", median(refused))
}

// offerer sends one kind of request.
type offerer struct {
	ids           []int64
	host, bearer  string
	http          *fasthttp.HostClient
	shed, failed  atomic.Int64
	mu            sync.Mutex
	failures      shoptest.Tally // in words
	admittedAfter []time.Duration
	sentAfter     []time.Duration
}

func newOfferer(t *testing.T, reader *shoptest.Client, ids []int64) *offerer {
	t.Helper()
	host := strings.TrimPrefix(shoptest.BaseURL(t), "http://")
	o := &offerer{ids: ids, host: host, bearer: "Bearer " + reader.Token, http: &fasthttp.HostClient{
		Addr: host, MaxConns: mostWaiting, ReadTimeout: offerTimeout, WriteTimeout: offerTimeout,
		MaxIdemponentCallAttempts: 1,
	}}
	t.Cleanup(o.http.CloseIdleConnections)
	return o
}

// request makes one request that was due at this time.
func (o *offerer) request(due time.Time) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.SetRequestURI(fmt.Sprintf("http://%s/books/%d/availability", o.host, o.ids[rand.IntN(len(o.ids))]))
	request.Header.Set("Authorization", o.bearer)
	late := time.Since(due)
	err := o.http.Do(request, response)
	switch status := response.StatusCode(); {
	case err == nil && status == http.StatusOK:
		took := time.Since(due)
		o.mu.Lock()
		o.admittedAfter, o.sentAfter = append(o.admittedAfter, took), append(o.sentAfter, late)
		o.mu.Unlock()
	case err == nil && status == http.StatusServiceUnavailable:
		o.shed.Add(1)
	case err != nil:
		o.fail(err.Error())
	default:
		o.fail(fmt.Sprintf("status %d", status))
	}
}

func (o *offerer) fail(why string) {
	o.failed.Add(1)
	o.failures.Add(why)
}

// capacity is how many requests a second clients get answered who each wait for
// the answer.
func (o *offerer) capacity() float64 {
	began := time.Now()
	var clients sync.WaitGroup
	for range capacityClients {
		clients.Go(func() {
			for time.Since(began) < capacityTime {
				o.request(time.Now())
			}
		})
	}
	clients.Wait()
	return float64(o.result().admitted) / time.Since(began).Seconds()
}

// offer sends this many requests a second.
func (o *offerer) offer(perSecond float64) offered {
	slots := make(chan struct{}, mostWaiting)
	began, used := time.Now(), cpuTime()
	var flying sync.WaitGroup
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
		if due.Sub(began) > offeredTime {
			break
		}
		<-time.After(time.Until(due))
		select {
		case slots <- struct{}{}:
			flying.Go(func() { o.request(due); <-slots })
		default:
			o.fail("too many wait for an answer")
		}
	}
	flying.Wait()
	r := o.result()
	r.perSecond = perSecond
	r.own = float64(cpuTime()-used) / float64(time.Since(began)) / float64(runtime.NumCPU())
	return r
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// result takes what has been counted so far.
func (o *offerer) result() offered {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := offered{admitted: len(o.admittedAfter), shed: int(o.shed.Swap(0)), failed: int(o.failed.Swap(0))}
	if r.admitted > 0 {
		slices.Sort(o.admittedAfter)
		slices.Sort(o.sentAfter)
		r.p99, r.late = o.admittedAfter[r.admitted*99/100], o.sentAfter[r.admitted*99/100]
	}
	o.admittedAfter, o.sentAfter = nil, nil
	return r
}
