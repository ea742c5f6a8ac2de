//go:build drill

package drills

import (
	"context"
	"sync"
	"testing"
	"time"
)

// load is everybody who uses the shop or its database during a drill.
type load struct {
	writers  *writers
	readers  *readers
	loyal    *loyal
	customer *customer

	stop  context.CancelFunc
	done  sync.WaitGroup
	until time.Time // when it ended
}

// maxDrill bounds a load whose drill hangs.
const maxDrill = 6 * time.Minute

func startLoad(t *testing.T, p *platform, leader member, all []member) *load {
	t.Helper()
	access := newAccess(t, p, all)
	l := &load{
		writers: newWriters(t, access), readers: newReaders(access, all),
		loyal: newLoyal(t, access, leader), customer: newCustomer(p),
	}
	l.customer.stock(t)
	ctx, stop := context.WithTimeout(t.Context(), maxDrill)
	l.stop = stop
	t.Cleanup(l.finish)
	for _, run := range []func(context.Context){access.follow, l.writers.run, l.readers.run, l.customer.run} {
		l.done.Go(func() { run(ctx) })
	}
	return l
}

// finish ends the load; orders that are under way are asked for until they are settled.
func (l *load) finish() {
	if l.until.IsZero() {
		l.until = time.Now()
	}
	l.stop()
	l.done.Wait()
}

// each runs what at every tick until ctx ends, and returns when the last of them is done.
func each(ctx context.Context, every time.Duration, what func(n int)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var flying sync.WaitGroup
	defer flying.Wait()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			flying.Go(func() { what(n) })
		}
	}
}
