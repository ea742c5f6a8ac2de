package coordinator

import (
	"context"
	"time"
)

// gather is how long the recorder waits for others after the first: nobody
// waits for it but a repeat of the request.
const gather = 20 * time.Millisecond

// record closes attempts in the store, as many in one statement as have come
// together. A row that is not closed costs only a repetition, by whoever takes
// it over.
func (f *finisher) record() {
	defer close(f.recorded)
	for {
		select {
		case first := <-f.finished:
			f.recordAll(f.collect(first))
		case <-f.nothing:
			if batch := f.rest(nil); len(batch) > 0 {
				f.recordAll(batch)
			}
			return
		}
	}
}

// collect takes what else there is to be recorded, or soon will be.
func (f *finisher) collect(first Finished) []Finished {
	const most = 256
	batch := []Finished{first}
	over := time.NewTimer(gather)
	defer over.Stop()
	for len(batch) < most {
		select {
		case next := <-f.finished:
			batch = append(batch, next)
		case <-over.C:
			return batch
		case <-f.nothing:
			return f.rest(batch)
		}
	}
	return batch
}

// rest takes what has come when nothing more will.
func (f *finisher) rest(batch []Finished) []Finished {
	for {
		select {
		case next := <-f.finished:
			batch = append(batch, next)
		default:
			return batch
		}
	}
}

func (f *finisher) recordAll(batch []Finished) {
	for tries := 1; ; tries++ {
		err := f.recordOnce(batch)
		if err == nil {
			break
		}
		f.log.Warn("finished transactions not recorded", "count", len(batch), "tries", tries, "error", err)
		if !pause(f.alive, backoff(tries)) {
			return
		}
	}
	for _, done := range batch {
		f.leases.drop(done.GID)
	}
}

func (f *finisher) recordOnce(batch []Finished) error {
	ctx, cancel := context.WithTimeout(f.alive, f.settings.StoreTimeout)
	defer cancel()
	return f.store.Finish(ctx, batch)
}

// enqueue hands an ended attempt to the recorder. It waits for nobody: where
// the recorder cannot write, the queue fills, and who is waiting for the
// attempt's answer must not wait for that. The row is taken over then.
func (f *finisher) enqueue(done Finished) {
	select {
	case f.finished <- done:
	default:
		f.leases.drop(done.GID)
		f.log.Warn("too many finished transactions to record: leaving one to be taken over", "gid", done.GID)
	}
}
