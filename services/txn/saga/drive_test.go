package saga

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func workerSettings() Settings {
	s := DefaultSettings()
	s.MaxInHand, s.MaxWaiting, s.ClaimBatch = 2, 3, 2
	return s
}

// Sagas beyond those that are driven at once queue: each is driven as
// soon as one before it has ended, in their order.
func TestASagaWithoutASlotIsNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var begun []string
		c := newWorkers(t.Context(), workerSettings(), func(_ context.Context, s Saga) {
			mu.Lock()
			begun = append(begun, s.ID)
			mu.Unlock()
			<-time.After(100 * time.Millisecond)
		})
		for i := range 5 {
			if !c.reserve() {
				t.Fatalf("no room for %d", i)
			}
			c.drive(t.Context(), Saga{ID: strconv.Itoa(i)})
			synctest.Wait()
		}
		if c.reserve() {
			t.Error("room beyond the bound")
		}
		if n := c.reserveForClaims(2); n != 0 {
			t.Errorf("room for %d claims", n)
		}
		began := time.Now()
		c.working.Wait()
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("five took %v, two at once for 100 ms each", took)
		}
		if fmt.Sprint(begun) != "[0 1 2 3 4]" {
			t.Errorf("driven in the order %v", begun)
		}
		if c.reserved != 0 || c.driving != 0 || len(c.waiting) != 0 {
			t.Errorf("left: %+v", c)
		}
	})
}

// One that has waited for long is not driven: its lease is nearly over, and
// whoever claims it would drive it too.
func TestASagaWaitsForLessThanItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driven := 0
		var mu sync.Mutex
		c := newWorkers(t.Context(), workerSettings(), func(context.Context, Saga) {
			mu.Lock()
			driven++
			mu.Unlock()
			<-time.After(3 * time.Second)
		})
		for range 3 {
			c.reserve()
			c.drive(t.Context(), Saga{})
		}
		c.working.Wait()
		if driven != 2 || c.reserved != 0 {
			t.Errorf("%d driven, %d left", driven, c.reserved)
		}
	})
}

// Workers that are stopped end what they do and begin nothing.
func TestStoppedWorkersBeginNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		driven := 0
		var mu sync.Mutex
		c := newWorkers(t.Context(), workerSettings(), func(context.Context, Saga) {
			mu.Lock()
			driven++
			mu.Unlock()
			<-time.After(time.Second)
		})
		for range 4 {
			c.reserve()
			c.drive(t.Context(), Saga{})
		}
		synctest.Wait()
		c.stop()
		c.drive(t.Context(), Saga{})
		synctest.Wait()
		if driven != 2 || c.reserve() || c.reserveForClaims(2) != 0 {
			t.Errorf("%d driven", driven)
		}
	})
}
