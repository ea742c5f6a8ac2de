package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/platform/batch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBad = errors.New("bad")

// counter doubles numbers, refuses calls with a negative one, and waits for
// open before each answer.
type counter struct {
	open  chan struct{}
	mu    sync.Mutex
	calls [][]int
}

func (c *counter) double(_ context.Context, numbers []int) ([]int, error) {
	c.mu.Lock()
	c.calls = append(c.calls, slices.Clone(numbers))
	c.mu.Unlock()
	<-c.open
	out := make([]int, len(numbers))
	for i, n := range numbers {
		if n < 0 {
			return nil, errBad
		}
		out[i] = 2 * n
	}
	return out, nil
}

// made are the calls so far.
func (c *counter) made() [][]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

func (c *counter) group() *batch.Group[int, int] {
	return batch.New(c.double, func(err error) bool { return errors.Is(err, errBad) })
}

func TestEachCallerGetsItsOwnResult(t *testing.T) {
	t.Parallel()
	c := &counter{open: make(chan struct{})}
	g := c.group()
	var callers sync.WaitGroup
	for i := range 100 {
		callers.Go(func() {
			n := i
			if i%10 == 0 {
				n = -i - 1
			}
			got, err := g.Do(t.Context(), n)
			if n < 0 && !errors.Is(err, errBad) || n >= 0 && (err != nil || got != 2*n) {
				t.Errorf("%d: %d, %v", n, got, err)
			}
		})
	}
	close(c.open)
	callers.Wait()
}

// While two batches hang, requests form one more batch and wait for its start no longer than patience.
func TestABatchThatHangsDelaysOthersBriefly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{open: make(chan struct{})}
		g := c.group()
		impatient, leave := context.WithCancel(t.Context())
		var left, callers sync.WaitGroup
		for i := range 2 {
			left.Go(func() {
				if _, err := g.Do(impatient, i); !errors.Is(err, context.Canceled) {
					t.Errorf("a hanging call: %v", err)
				}
			})
			synctest.Wait()
		}
		leave()
		left.Wait()
		for i := range 8 {
			callers.Go(func() {
				if got, err := g.Do(t.Context(), i); got != 2*i || err != nil {
					t.Errorf("%d: %d, %v", i, got, err)
				}
			})
		}
		synctest.Wait()
		if calls := c.made(); len(calls) != 2 {
			t.Errorf("nobody waited: %v", calls)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if calls := c.made(); len(calls) != 3 || len(calls[2]) != 8 {
			t.Errorf("called for %v", calls)
		}
		close(c.open)
		callers.Wait()
	})
}

// A bad request among many costs the others a few calls in a row, not one for each of them.
func TestABadRequestDelaysOthersBriefly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const took = 5 * time.Millisecond
		hold := make(chan struct{})
		first := true
		var mu sync.Mutex
		g := batch.New(func(_ context.Context, numbers []int) ([]int, error) {
			mu.Lock()
			waits := first
			first = false
			mu.Unlock()
			if waits {
				<-hold
			}
			<-time.After(took)
			if slices.Contains(numbers, 13) {
				return nil, errBad
			}
			return numbers, nil
		}, func(err error) bool { return errors.Is(err, errBad) })
		var callers sync.WaitGroup
		call := func(n int) {
			callers.Go(func() {
				got, err := g.Do(t.Context(), n)
				if bad := n == 13; bad != errors.Is(err, errBad) || !bad && got != n {
					t.Errorf("%d: %d, %v", n, got, err)
				}
			})
		}
		call(0)
		synctest.Wait()
		began := time.Now()
		call(1) // the second batch in flight
		for n := 10; n < 10+64; n++ {
			call(n)
		}
		synctest.Wait()
		close(hold)
		callers.Wait()
		if waited := time.Since(began); waited > 9*took {
			t.Errorf("it took %v, one call takes %v", waited, took)
		}
	})
}
