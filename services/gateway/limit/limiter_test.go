package limit

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis/redistest"
)

func TestABurstThenTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, l := range map[string]*Limiter{
			"shared": gateways(t, 1, newShared())[0],
			"local":  gateways(t, 1, nil)[0],
		} {
			if got := admitAll(t, l, "token:a", everybody, 1000); got < 400 || got > 405 {
				t.Errorf("%s: %d were admitted at once, want the burst of 400", name, got)
			}
			if !admit(t, l, "token:b", everybody) {
				t.Errorf("%s: another client is refused", name)
			}
			after(time.Second)
			if got := admitAll(t, l, "token:a", everybody, 1000); got < 195 || got > 215 {
				t.Errorf("%s: %d were admitted a second later, want 200", name, got)
			}
			after(time.Minute)
			if got := admitAll(t, l, "token:a", everybody, 1000); got < 395 || got > 405 {
				t.Errorf("%s: %d were admitted a minute later, want 400", name, got)
			}
		}
	})
}

// A client that sends at twice its rate gets its rate, over any number of gateways and
// however long Redis takes.
func TestGatewaysShareTheRate(t *testing.T) {
	t.Parallel()
	for _, limits := range []Limits{everybody, {Rate: 20, Burst: 20}, {Rate: 2000, Burst: 2000}, {Rate: 500, Burst: 100}} {
		for _, n := range []int{1, 2, 3, 4} {
			for _, takes := range []time.Duration{300 * time.Microsecond, 10 * time.Millisecond, 40 * time.Millisecond} {
				t.Run(fmt.Sprintf("%s at %d gateways after %s", limits.policy(), n, takes), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						b := newShared()
						b.takes = takes
						to := gateways(t, n, b)
						offer(t, to, limits, 2*limits.Rate, 3*time.Second) // the burst is gone
						requireAbout(t, "admitted", offer(t, to, limits, 2*limits.Rate, 5*time.Second), 5*limits.Rate, .1)
					})
				})
			}
		}
	}
}

// For 50 ms of every 500 no answer comes in time: what is admitted meanwhile is
// charged.
func TestSlowAnswersCostNoAccuracy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		ctx, stop := context.WithCancel(t.Context())
		var trouble sync.WaitGroup
		trouble.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				takes := 300 * time.Microsecond
				if i%10 == 0 {
					takes = 100 * time.Millisecond
				}
				b.set(takes, false)
				<-tick.C
			}
		})
		to := gateways(t, 4, b)
		offer(t, to, everybody, 400, 3*time.Second)
		requireAbout(t, "admitted", offer(t, to, everybody, 400, 5*time.Second), 1000, .1)
		stop()
		trouble.Wait()
	})
}

func TestRedisHasCallsForLeasesNotForRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		l := gateways(t, 1, b)[0]
		offer(t, []*Limiter{l}, everybody, 190, 5*time.Second)
		if calls := b.calls(); calls > 200 {
			t.Errorf("Redis had %d calls in 5 s for 950 requests", calls)
		}
		before := b.calls()
		offer(t, []*Limiter{l}, everybody, 4000, 5*time.Second)
		if calls := b.calls() - before; calls > 400 {
			t.Errorf("Redis had %d calls in 5 s for a client that was mostly refused", calls)
		}
	})
}

func TestRedisIsWaitedForBriefly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		b.takes = time.Hour
		l := gateways(t, 1, b)[0]
		begin := time.Now()
		admit(t, l, "token:a", everybody)
		if took := time.Since(begin); took != maxWait {
			t.Errorf("the first request waited %v", took)
		}
		begin = time.Now()
		if got := admitAll(t, l, "token:a", everybody, 500); got != 399 || time.Since(begin) != 0 {
			t.Errorf("after it %d were admitted within %v", got, time.Since(begin))
		}
		after(time.Second)
		begin = time.Now()
		if !admit(t, l, "token:b", everybody) || time.Since(begin) != 0 {
			t.Errorf("another client waited %v although Redis is known to be away", time.Since(begin))
		}
	})
}

func TestWithoutRedisEveryGatewayLimitsForItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		to := gateways(t, 2, b)
		offer(t, to, everybody, 400, 4*time.Second)
		b.set(time.Millisecond, true)
		offer(t, to, everybody, 800, time.Second)
		requireAbout(t, "admitted while Redis was away", offer(t, to, everybody, 800, 5*time.Second), 2*5*200, .1)
		b.set(time.Millisecond, false)
		offer(t, to, everybody, 800, 3*time.Second)
		requireAbout(t, "admitted when it was back", offer(t, to, everybody, 800, 5*time.Second), 5*200, .1)
	})
}

// A client that keeps to its limit is always admitted, also when Redis goes
// and comes back, and when it changes the gateway.
func TestNobodyWithinTheLimitIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		to := gateways(t, 3, b)
		for i := range 12 {
			b.set([]time.Duration{time.Millisecond, 15 * time.Millisecond, time.Hour}[i%3], i%4 == 3)
			gateways := to
			if i%2 == 1 {
				gateways = to[i%3 : i%3+1]
			}
			if sent, got := 2*180, offer(t, gateways, everybody, 180, 2*time.Second); got < sent-1 {
				t.Errorf("in round %d only %d of %d were admitted", i, got, sent)
			}
		}
	})
}

func TestUnusedPermitsAreHandedBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		limits := Limits{Rate: .001, Burst: 1000, InFlight: 9}
		l := gateways(t, 1, b)[0]
		s := l.shardOf("token:a")
		admit(t, l, "token:a", limits)
		s.mu.Lock()
		s.clients["token:a"].permits = 7 // as if the limits had been others
		s.mu.Unlock()
		after(3 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.clients["token:a"]
		if c.permits != 0 || c.level < 1000 {
			t.Errorf("%d permits are kept, and the bucket has %.1f", c.permits, c.level)
		}
	})
}

func TestRequestsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLimiter(nil, Options{})
	limits := Limits{Rate: 1000, Burst: 1000, InFlight: 3}
	for range 3 {
		if _, err := l.Admit(t.Context(), "token:a", limits); err != nil {
			t.Fatal(err)
		}
	}
	state, err := l.Admit(t.Context(), "token:a", limits)
	if fault.KindOf(err) != fault.TooManyInFlight || state.Limit != 1000 {
		t.Errorf("the fourth got %+v, %v", state, err)
	}
	if !admit(t, l, "token:b", limits) {
		t.Error("another client is refused")
	}
	l.Done("token:a")
	if !admit(t, l, "token:a", limits) {
		t.Error("refused although one has left")
	}
	l.Done("nobody")
}

func TestARefusedRequestIsNotInFlight(t *testing.T) {
	t.Parallel()
	l := newLimiter(nil, Options{})
	limits := Limits{Rate: .01, Burst: 1, InFlight: 1}
	for range 5 {
		admit(t, l, "token:a", limits)
	}
	if _, err := l.Admit(t.Context(), "token:a", limits); fault.KindOf(err) != fault.RateLimited {
		t.Errorf("got %v", err)
	}
}

func TestStateTellsHowTheClientStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := gateways(t, 1, nil)[0]
		want := func(what string, got, want State) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		state, _ := l.Admit(t.Context(), "token:a", everybody)
		want("at first", state, State{Limit: 200, Remaining: 200, Policy: "200;w=1;burst=400"})
		for range 299 {
			state, _ = l.Admit(t.Context(), "token:a", Limits{Rate: 200, Burst: 400, InFlight: 1000})
		}
		want("after 300", state, State{Limit: 200, Remaining: 100, Reset: 500 * time.Millisecond, Policy: "200;w=1;burst=400"})
		for range 101 {
			state, _ = l.Admit(t.Context(), "token:a", Limits{Rate: 200, Burst: 400, InFlight: 1000})
		}
		want("refused", state, State{Limit: 200, Reset: time.Second, Policy: "200;w=1;burst=400"})
		state, _ = l.Admit(t.Context(), "token:b", Limits{Rate: .25, Burst: 1, InFlight: 1})
		want("once in four seconds", state, State{Limit: 1, Reset: 4 * time.Second, Policy: "1;w=4;burst=1"})
	})
}

// New limits of a token hold at once.
func TestLimitsMayChange(t *testing.T) {
	t.Parallel()
	l := newLimiter(nil, Options{})
	admit(t, l, "token:a", everybody)
	state, err := l.Admit(t.Context(), "token:a", Limits{Rate: .1, Burst: 5, InFlight: 64})
	if err != nil || state.Remaining > 5 || state.Policy != "1;w=10;burst=5" {
		t.Errorf("got %+v, %v", state, err)
	}
}

func TestTheNumberOfClientsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := gateways(t, 1, nil)[0]
		limits := Limits{Rate: 1, Burst: 2, InFlight: 2}
		if _, err := l.Admit(t.Context(), "busy", limits); err != nil {
			t.Fatal(err)
		}
		for i := range 4 * shards * maxPerShard {
			admit(t, l, fmt.Sprintf("address:%d", i), limits)
		}
		if n := l.count(); n > shards*maxPerShard {
			t.Errorf("%d clients are known", n)
		}
		if _, err := l.Admit(t.Context(), "busy", limits); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Admit(t.Context(), "busy", limits); fault.KindOf(err) != fault.TooManyInFlight {
			t.Errorf("a client with requests in flight was forgotten: %v", err)
		}
		l.Done("busy")
		l.Done("busy")
		after(time.Minute)
		if n := l.count(); n != 0 {
			t.Errorf("%d clients are known a minute after they went", n)
		}
	})
}

func TestAStoppingGatewayMakesNoMoreCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newShared()
		b.takes = time.Hour
		l := newLimiter(b, Options{})
		part := l.Part()
		if err := part.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		admit(t, l, "token:a", everybody)
		if err := part.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		before := b.calls()
		if !admit(t, l, "token:b", everybody) || b.calls() != before {
			t.Error("it called Redis, or refused")
		}
	})
}

func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	if err := everybody.Validate(); err != nil {
		t.Error(err)
	}
	for _, l := range []Limits{{}, {Rate: -1, Burst: 1, InFlight: 1}, {Rate: 1, InFlight: 1}, {Rate: 1, Burst: 1}, {Rate: 1e9, Burst: 1, InFlight: 1}} {
		if l.Validate() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}

// benchmarks are never refused: no loop is that fast.
var benchmarks = Limits{Rate: 1e9, Burst: 1e9, InFlight: 2048}

// It runs alone: allocations are counted in the whole process.
func TestAdmittingAllocatesNothing(t *testing.T) { //nolint:paralleltest // see above
	for name, l := range map[string]*Limiter{
		"local": New(Options{}), "leased": New(Options{Redis: open(t, redistest.Cluster(t))}),
	} {
		ctx := t.Context()
		allocations := testing.AllocsPerRun(1000, func() {
			if _, err := l.Admit(ctx, "token:bench", benchmarks); err != nil {
				t.Error(err)
			}
			l.Done("token:bench")
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations per request", name, allocations)
		}
		l.end()
		if err := l.drain(ctx); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	for name, l := range map[string]*Limiter{
		"local": New(Options{}), "leased": New(Options{Redis: open(b, redistest.Cluster(b))}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Admit(context.Background(), "token:bench", benchmarks); err == nil {
						l.Done("token:bench")
					}
				}
			})
		})
		l.end()
		if err := l.drain(context.Background()); err != nil {
			b.Error(err)
		}
	}
}
