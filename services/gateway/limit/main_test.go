package limit

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, redistest.LateDials()) }

// everybody are the limits that a shop begins with.
var everybody = Limits{Rate: 200, Burst: 400, InFlight: 64}

// shared is the bucket of all limiters of a test, as the script has it, with a
// way to it that can be slow or broken.
type shared struct {
	takes time.Duration // for an answer
	down  bool

	mu     sync.Mutex
	level  map[string]float64
	at     map[string]time.Time
	called int
}

func newShared() *shared {
	return &shared{takes: 300 * time.Microsecond, level: map[string]float64{}, at: map[string]time.Time{}}
}

var errDown = errors.New("nobody is there")

func (b *shared) take(ctx context.Context, q leaseRequest) (grant, error) {
	b.mu.Lock()
	b.called++
	takes, down := b.takes, b.down
	b.mu.Unlock()
	way := time.NewTimer(takes)
	defer way.Stop()
	select {
	case <-way.C:
	case <-ctx.Done():
		return grant{}, ctx.Err()
	}
	if down {
		return grant{}, errDown
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now, burst := time.Now(), float64(q.limits.Burst)
	level := burst
	if at, known := b.at[q.key]; known {
		level = min(burst, b.level[q.key]+now.Sub(at).Seconds()*q.limits.Rate)
	}
	level = max(-q.limits.Rate, min(burst, level-float64(q.spent)))
	permits := max(0, min(q.wanted, int(math.Floor(level))))
	b.level[q.key], b.at[q.key] = level-float64(permits), now
	return grant{permits: permits, level: level - float64(permits)}, nil
}

func (b *shared) set(takes time.Duration, down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takes, b.down = takes, down
}

func (b *shared) calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.called
}

// gateways are limiters that share a bucket.
func gateways(t *testing.T, n int, b bucket) []*Limiter {
	t.Helper()
	all := make([]*Limiter, n)
	for i := range all {
		all[i] = newLimiter(b, Options{})
		part := all[i].Part()
		if err := part.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := part.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return all
}

// offer sends a client's requests at a steady pace to the gateways in rotation, and
// returns how many were admitted.
func offer(t *testing.T, to []*Limiter, limits Limits, perSecond float64, during time.Duration) (admitted int) {
	t.Helper()
	var (
		mu     sync.Mutex
		flying sync.WaitGroup
	)
	limits.InFlight = math.MaxInt
	begin, tick := time.Now(), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := 0; time.Since(begin) < during; <-tick.C {
		for due := int(time.Since(begin).Seconds() * perSecond); sent < due; sent++ {
			l := to[sent%len(to)]
			flying.Go(func() {
				if !admit(t, l, "token:a", limits) {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				admitted++
			})
		}
	}
	flying.Wait()
	return admitted
}

// admit makes one request that is answered at once.
func admit(t *testing.T, l *Limiter, client string, limits Limits) bool {
	t.Helper()
	state, err := l.Admit(t.Context(), client, limits)
	if err == nil {
		l.Done(client)
		return true
	}
	f := fault.As(err)
	if f.Kind != fault.RateLimited || f.RetryAfter <= 0 || state.Remaining != 0 || state.Reset <= 0 || state.Limit == 0 {
		t.Errorf("refused with %+v and %+v", err, state)
	}
	return false
}

// admitAll sends n requests, one after the other.
func admitAll(t *testing.T, l *Limiter, client string, limits Limits, n int) (admitted int) {
	t.Helper()
	for range n {
		if admit(t, l, client, limits) {
			admitted++
		}
	}
	return admitted
}

func requireAbout(t *testing.T, what string, got int, want, tolerance float64) {
	t.Helper()
	t.Logf("%s: %d, expected %.0f", what, got, want)
	if math.Abs(float64(got)-want) > tolerance*want {
		t.Errorf("%s: %d, want %.0f within %.0f %%", what, got, want, 100*tolerance)
	}
}

// after lets time pass.
func after(d time.Duration) { <-time.After(d) }
