package coordinator

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// A crowd for one book takes its queue only: others pass.
func TestACrowdForOneBookIsInNobodysWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4, 2)
		impatient, leave := context.WithCancel(t.Context())
		var in, gone atomic.Int32
		var crowd sync.WaitGroup
		done := make(chan struct{})
		for range 10 {
			crowd.Go(func() {
				give, ok := all.take(impatient, []int64{7, 3})
				if !ok {
					gone.Add(1)
					return
				}
				in.Add(1)
				<-done
				give()
			})
		}
		synctest.Wait()
		if in.Load() != 2 {
			t.Errorf("%d are in", in.Load())
		}
		give, ok := all.take(t.Context(), []int64{5})
		if !ok {
			t.Error("another book's order has to wait")
		}
		give()
		leave()
		synctest.Wait()
		if gone.Load() != 8 {
			t.Errorf("%d have gone", gone.Load())
		}
		close(done)
		crowd.Wait()
		if len(all.queues) != 0 || len(all.places) != 0 {
			t.Errorf("left: %v, %d places", all.queues, len(all.places))
		}
	})
}
