package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// worker is a service that works at two calls at once, each for 5 ms in the
// mean: it carries 400 a second.
type worker struct {
	hands  chan struct{}
	random *rand.Rand
}

func newWorker() *worker {
	return &worker{hands: make(chan struct{}, 2), random: rand.New(rand.NewPCG(1, 2))}
}

// task is how long the next call takes.
func (w *worker) task() time.Duration {
	return time.Duration(w.random.ExpFloat64() * float64(5*time.Millisecond))
}

func (w *worker) do(task time.Duration) {
	w.hands <- struct{}{}
	<-time.After(task)
	<-w.hands
}

// crowd is what became of many calls.
type crowd struct {
	mu       sync.Mutex
	coming   sync.WaitGroup
	admitted []time.Duration
	refused  int
}

// come sends a call to a worker through a queue.
func (c *crowd) come(q *queue, w *worker) {
	task := w.task()
	c.coming.Go(func() {
		begin := time.Now()
		p, err := q.enter(context.Background())
		if err == nil {
			w.do(task)
			p.leave(true)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil {
			c.refused++
		} else {
			c.admitted = append(c.admitted, time.Since(begin))
		}
	})
}

// offer sends calls as they come, so many a second, whatever becomes of them.
func (c *crowd) offer(q *queue, w *worker, perSecond float64, during time.Duration) {
	for end := time.Now().Add(during); time.Now().Before(end); {
		<-time.After(time.Duration(w.random.ExpFloat64() / perSecond * float64(time.Second)))
		c.come(q, w)
	}
	c.coming.Wait()
}

func (c *crowd) p99() time.Duration {
	slices.Sort(c.admitted)
	return c.admitted[len(c.admitted)*99/100]
}

func defaultQueue() *queue {
	return newQueue(Resilience{}.withDefaults(), 1)
}

// Offered twice what the service carries, those who are let in wait no longer
// than twice as long as at four fifths of it, and hardly fewer are served.
func TestARushIsRefusedAndNotMadeToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, w := defaultQueue(), newWorker()
		var warm, busy, rush, after crowd
		warm.offer(q, w, 200, 10*time.Second)
		busy.offer(q, w, 320, 20*time.Second)
		rush.offer(q, w, 800, 20*time.Second)
		after.offer(q, w, 320, 20*time.Second)
		for name, c := range map[string]*crowd{"at half": &warm, "at 80 %": &busy, "at 200 %": &rush, "at 80 % again": &after} {
			t.Logf("%-13s: %d let in, p50 %v, p99 %v, %d refused", name, len(c.admitted), c.admitted[len(c.admitted)/2], c.p99(), c.refused)
		}
		if ratio := float64(rush.p99()) / float64(busy.p99()); ratio > 2 {
			t.Errorf("the p99 of those let in is %.2f times that at 80 %%", ratio)
		}
		if served := float64(len(rush.admitted)) / (20 * 400); served < .8 {
			t.Errorf("in a rush only %.0f %% of what the service carries was let in", 100*served)
		}
		if warm.refused > 0 || busy.refused+after.refused > len(busy.admitted)/50 {
			t.Errorf("refused without a rush: %d, %d, and %d after one", warm.refused, busy.refused, after.refused)
		}
	})
}

// At four fifths of what the service carries a stall may be taken for a rush, but
// not for long.
func TestAStallIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, w := defaultQueue(), newWorker()
		var before, during, after crowd
		before.offer(q, w, 320, 5*time.Second)
		var stall sync.WaitGroup
		for range 2 {
			stall.Go(func() { w.do(time.Second) })
		}
		during.offer(q, w, 320, 3*time.Second)
		stall.Wait()
		after.offer(q, w, 320, 5*time.Second)
		t.Logf("refused %d before, %d of %d during, %d after", before.refused, during.refused, during.refused+len(during.admitted), after.refused)
		if before.refused+after.refused > 0 || during.refused > len(during.admitted) {
			t.Error("that is too many")
		}
	})
}

// A crowd that comes at once after a quiet night is served, and so is one that
// a stall has held up, while others go on coming.
func TestABurstWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, w := defaultQueue(), newWorker()
		var quiet, burst, beside crowd
		quiet.offer(q, w, 5, time.Minute)
		for range 80 {
			burst.come(q, w)
		}
		beside.offer(q, w, 100, 2*time.Second)
		burst.coming.Wait()
		if refused := quiet.refused + burst.refused + beside.refused; refused > 0 {
			t.Errorf("%d were refused", refused)
		}
	})
}

// A few clients who each wait for their answer are no rush, however slow the
// service is.
func TestClientsWhoWaitForTheirAnswersAreNoRush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, w := defaultQueue(), newWorker()
		var first crowd
		first.offer(q, w, 50, 10*time.Second) // answers are quick, and the limit is low
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				for range 200 {
					p, err := q.enter(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					w.do(20 * time.Millisecond)
					p.leave(true)
				}
			})
		}
		clients.Wait()
	})
}

// Calls that hang take nobody's place, up to the most that are in flight at all.
func TestCallsThatHangTakeNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Resilience{InFlightLeast: 4, InFlightFirst: 4, InFlightMost: 20, InFlightWait: time.Second}, 1)
		var places []*place
		for range 20 {
			p, err := q.enter(t.Context())
			if err != nil {
				t.Fatalf("after %d: %v", len(places), err)
			}
			places = append(places, p)
		}
		if _, err := q.enter(t.Context()); !errors.Is(err, errFull) {
			t.Errorf("one more than there may be: %v", err)
		}
		for _, p := range places {
			p.leave(false)
		}
		if n := q.inFlight(); n != 0 {
			t.Errorf("%d places are taken for ever", n)
		}
	})
}

func TestAWaitEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(Resilience{InFlightLeast: 1, InFlightFirst: 1, InFlightMost: 1, InFlightWait: time.Second}, 1)
		p, err := q.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := q.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller with 10 ms got %v", err)
		}
		p.leave(true)
		if p, err = q.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.leave(true)
	})
}
