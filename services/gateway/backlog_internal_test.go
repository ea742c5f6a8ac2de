package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"

	"bookstore/services/platform/fault"
)

// arrivals simulates requests that arrive, measured by two clocks that differ.
type arrivals struct {
	*backlog
	now, ahead time.Duration
}

func newArrivals(ahead time.Duration) *arrivals {
	r := &arrivals{backlog: newBacklog(prometheus.NewRegistry()), ahead: ahead}
	r.arrive(1, 0, time.Millisecond)
	return r
}

// arrive simulates n requests at an interval, each in flight for wait, and counts the late ones.
func (r *arrivals) arrive(n int, every, wait time.Duration) (late int) {
	for range n {
		r.now += every
		if r.observe(time.Unix(1e9, 0).Add(r.now), wait+r.ahead) {
			late++
		}
	}
	return late
}

const (
	quickly = 2 * time.Millisecond
	slowly  = 80 * time.Millisecond
)

func TestABacklogStandsWhereEvenTheQuickestAreSlow(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		r := newArrivals(ahead)
		if late := r.arrive(1000, time.Millisecond, quickly); late > 0 {
			t.Errorf("before: %d are late", late)
		}
		if late := r.arrive(200, time.Millisecond, slowly); late < 80 || late > 150 {
			t.Errorf("clocks %v apart: of 200 slow ones in 200 ms %d are late", ahead, late)
		}
		if late := r.arrive(500, time.Millisecond, quickly); late > 0 {
			t.Errorf("%d are late that were not slow", late)
		}
		if late := r.arrive(10, time.Millisecond, slowly); late != 10 {
			t.Errorf("half a second later, of 10 slow ones %d are late", late)
		}
		r.arrive(1200, time.Millisecond, quickly)
		if late := r.arrive(10, time.Millisecond, slowly); late > 0 {
			t.Errorf("a second after the last, %d are late", late)
		}
	}
}

func TestNoBacklog(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]func(*arrivals) int{
		"few, all slow":      func(r *arrivals) int { return r.arrive(200, 20*time.Millisecond, slowly) },
		"one, after a night": func(r *arrivals) int { r.now += 9 * time.Hour; return r.arrive(1, 0, time.Minute) },
		"a burst": func(r *arrivals) int {
			return r.arrive(1000, 10*time.Microsecond, slowly) + r.arrive(100, time.Millisecond, quickly)
		},
		"slow, but not all":    func(r *arrivals) (n int) { return alternate(r, 100) },
		"many, not slow":       func(r *arrivals) int { return r.arrive(5000, 100*time.Microsecond, 19*time.Millisecond) },
		"the ingress' new one": func(r *arrivals) int { r.ahead = -time.Hour; return r.arrive(1000, time.Millisecond, quickly) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if late := comes(newArrivals(0)); late > 0 {
				t.Errorf("%d are late", late)
			}
		})
	}
}

func alternate(r *arrivals, times int) (late int) {
	for range times {
		late += r.arrive(20, time.Millisecond, slowly) + r.arrive(1, time.Millisecond, quickly)
	}
	return late
}

// A clock that is set, by any amount, in either direction, or there and back, makes no request late for more than two
// seconds.
func TestAClockThatIsSetIsNoBacklog(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{30 * time.Millisecond, 100 * time.Millisecond, time.Second, 14 * time.Second, time.Hour} {
		for _, rate := range []int{40, 400, 2000} {
			for name, steps := range map[string][]time.Duration{
				"ahead": {step}, "back": {-step}, "there and back": {step, 0}, "back and there": {-step, 0}, "again and again": {step, 2 * step, 3 * step},
			} {
				r := newArrivals(0)
				random := rand.New(rand.NewPCG(1, uint64(rate)))
				for i, ahead := range append([]time.Duration{0}, steps...) {
					r.ahead = ahead
					r.arriveAtRate(random, rate, 2*time.Second)
					if late := r.arriveAtRate(random, rate, time.Second); late > 0 {
						t.Errorf("%s by %v at %d a second, step %d: %d are late after two seconds", name, step, rate, i, late)
					}
				}
			}
		}
	}
}

// arriveAtRate simulates requests at a rate, each 1 to 7 ms in flight.
func (r *arrivals) arriveAtRate(random *rand.Rand, rate int, span time.Duration) (late int) {
	for range int(span.Seconds() * float64(rate)) {
		late += r.arrive(1, time.Second/time.Duration(rate), time.Millisecond+time.Duration(random.Int64N(int64(6*time.Millisecond))))
	}
	return late
}

// A queue that grows, and one that refusals hold at some length, is a backlog for as
// long as it lasts, however long that is.
func TestABacklogIsNoClock(t *testing.T) {
	t.Parallel()
	for name, share := range map[string]float64{"half too much": 1.5, "twice": 2} {
		r := newArrivals(0)
		random := rand.New(rand.NewPCG(1, 2))
		r.arrive(1000, time.Millisecond, quickly)
		// One server of 2 ms a request, and of a quarter of that for one that is refused.
		const served = 2 * time.Millisecond
		every := time.Duration(float64(served) / share)
		free, due, late, met := r.now, r.now, 0, 0
		for n := 0; due < r.now+time.Hour && n < int(20*time.Second/every); n++ {
			due += every
			began := max(free, due)
			arrived := began + time.Duration(random.ExpFloat64()*float64(served))
			if r.observe(time.Unix(1e9, 0).Add(arrived), arrived-due+r.ahead) {
				free = began + served/4
				late++
			} else {
				free = arrived
			}
			if n > int(2*time.Second/every) && r.standing.Load() {
				met++
			}
		}
		if total := int(18 * time.Second / every); met < total*8/10 || late < total/10 {
			t.Errorf("%s: a backlog stood for %d of %d requests, and %d were late", name, met, total, late)
		}
	}
}

// This machine's clock may be set: only its monotonic clock is used.
func TestTheGatewaysOwnClockDoesNotMatter(t *testing.T) {
	t.Parallel()
	b := newBacklog(prometheus.NewRegistry())
	for range 1000 {
		h := &fasthttp.RequestHeader{}
		h.Set(headerStart, fmt.Sprintf("t=%.6f", float64(b.epoch.UnixMicro()+time.Since(b.epoch).Microseconds())/1e6))
		if b.late(h) {
			t.Fatal("late")
		}
	}
	if b.minOffset() > 10*time.Millisecond || b.minOffset() < -10*time.Millisecond {
		t.Errorf("the clocks differ by %v", b.minOffset())
	}
}

func TestRequestStart(t *testing.T) {
	t.Parallel()
	if at, ok := requestStart([]byte("t=1795471934.102938")); !ok || at.UnixMicro() != 1795471934102938 {
		t.Errorf("read as %v, %v", at, ok)
	}
	for _, bad := range []string{"", "t=", "1795471934.1", "t=x", "t=-1", "t=NaN", "t=Inf", "t=1e300", "t=" + strings.Repeat("9", 400)} {
		if at, ok := requestStart([]byte(bad)); ok {
			t.Errorf("%q is read as %v", bad, at)
		}
	}
}

// Of eight permits, late requests get two.
func TestWhileABacklogStandsFewAreInFlight(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 8)
	g := guarded(t, Resilience{InFlightLeast: 8, InFlightFirst: 16, InFlightMost: 16}, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	g.metrics.backlog.standing.Store(true)
	results := make(chan error, 8)
	read := func(ctx context.Context, n int) {
		for range n {
			go func() { results <- g.read(ctx) }()
			<-arrived
		}
	}
	refused := func(ctx context.Context, who string) {
		if f := fault.As(g.read(ctx)); f == nil || f.Kind != fault.Overloaded || f.RetryAfter != time.Second {
			t.Errorf("%s: %v", who, f)
		}
	}
	late := asLate(t.Context())
	read(late, 2)
	refused(late, "the third who is late")
	read(t.Context(), 6)
	refused(t.Context(), "the ninth")
	if n := testutil.ToFloat64(g.metrics.shed.WithLabelValues("books")); n != 2 {
		t.Errorf("%v are counted as shed", n)
	}
	g.metrics.backlog.standing.Store(false)
	read(late, 1)
	close(release)
	for range 9 {
		if err := <-results; err != nil {
			t.Errorf("admitted: %v", err)
		}
	}
	if state := g.Circuits()["books"]; state != "closed" {
		t.Errorf("the circuit is %s", state)
	}
}
