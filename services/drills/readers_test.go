//go:build drill

package drills

import (
	"context"
	"sync"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// readers ask every member all the time, each through a connection of its own.
type readers struct {
	access *access
	all    []cluster.Member
	track  shoptest.Track // any replica answered
}

// A replica that is silent for so long is passed over by a client, who has others to ask.
const (
	readEvery    = 100 * time.Millisecond
	readPatience = 500 * time.Millisecond
	readPause    = 500 * time.Millisecond // after a failure: who connects costs more than who reads
)

func newReaders(a *access, all []cluster.Member) *readers { return &readers{access: a, all: all} }

func (r *readers) run(ctx context.Context) {
	var asking sync.WaitGroup
	for _, m := range r.all {
		asking.Go(func() { r.watch(ctx, m) })
	}
	asking.Wait()
}

// watch reads from one member until ctx ends, and connects anew after each failure.
func (r *readers) watch(ctx context.Context, m cluster.Member) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		r.stay(ctx, m, tick)
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
		}
	}
}

// stay reads through one connection for as long as that is answered.
func (r *readers) stay(ctx context.Context, m cluster.Member, tick *time.Ticker) {
	connecting, cancel := context.WithTimeout(ctx, readPatience)
	conn, err := r.access.to(connecting, m)
	cancel()
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		reading, cancel := context.WithTimeout(ctx, readPatience)
		var replica bool
		var rows int64
		err := conn.QueryRow(reading, "select pg_is_in_recovery(), (select count(*) from acks)").Scan(&replica, &rows)
		cancel()
		if err != nil {
			return
		}
		if replica {
			r.track.Serve()
		}
		<-tick.C
	}
}
