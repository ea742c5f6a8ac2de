package saga

import (
	"context"
	"time"

	"bookstore/services/platform/wait"
)

// reading is the database's clock as it was read once, and when that was by the
// monotonic clock of this process.
type reading struct{ database, here time.Time }

// newReading assumes that the clock was read halfway between the query and its
// answer: the error is half of that time at most.
func newReading(sent, received, database time.Time) reading {
	return reading{database: database, here: sent.Add(received.Sub(sent) / 2)}
}

// at converts a time of this process to one of the database. Only the time that
// has passed since the reading counts, not what the machine's clock shows.
func (r reading) at(here time.Time) time.Time {
	return r.database.Add(here.Sub(r.here)).UTC().Truncate(time.Microsecond)
}

// now is the time by the database's clock, which all coordinators share: the
// clocks of their machines may differ. The clock must have been read before.
func (e *Engine) now() time.Time { return e.clock.Load().at(time.Now()) }

// ensureClock reads the database's clock if that has not succeeded yet. All that
// begins, changes or claims sagas calls it first.
func (e *Engine) ensureClock(ctx context.Context) error {
	if e.clock.Load() != nil {
		return nil
	}
	return e.readClock(ctx)
}

// readClock drops an answer that takes longer than ClockEvery, for its reading
// would be inexact.
func (e *Engine) readClock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.Settings.ClockEvery)
	defer cancel()
	sent := time.Now()
	database, err := e.Store.Now(ctx)
	if err != nil {
		return err
	}
	r := newReading(sent, time.Now(), database)
	e.clock.Store(&r)
	return nil
}

// watchClock reads the clock every ClockEvery: the two clocks drift, and after a
// failover the database's clock is another machine's. While the database does not
// answer, the last reading stays in use.
func (e *Engine) watchClock(ctx context.Context) {
	failing := false
	for ok := true; ok; ok = wait.For(ctx, e.Settings.ClockEvery) {
		err := e.readClock(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "the database's clock cannot be read; trying again", "error", err)
		}
		failing = err != nil
	}
}
