package cache

import (
	"net/http"
	"sync/atomic"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Copy is an answer as it was at one moment, with what it takes to give it
// again. Nothing of it changes but the marks that say whether it may be given.
type Copy struct {
	*coherence.Entry
	Tag     []byte       // the ETag
	Refusal *fault.Error // what a book that is not there or gone is answered with

	begun      time.Time // of the fill, by this process's clock
	generation uint64    // of the fill; 0: it is no answer for later readers
	outdated   atomic.Bool
	refreshAt  atomic.Int64 // the age in nanoseconds from which it is to be renewed
}

func newCopy(e *coherence.Entry, begun time.Time, generation uint64) *Copy {
	c := &Copy{Entry: e, Tag: []byte(e.ETag), Refusal: refusal(e), begun: begun, generation: generation}
	c.refreshAt.Store(int64(refreshAfter))
	return c
}

func refusal(e *coherence.Entry) *fault.Error {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone:
		return fault.ReadProblem(e.Status, e.Body)
	default:
		return nil
	}
}

// notThere is the copy of a book with an id that none has.
func notThere(id int64, since time.Time) *Copy {
	return &Copy{
		Entry:   &coherence.Entry{BookID: id, Status: http.StatusNotFound, FilledAt: since},
		Refusal: fault.Newf(kinds.BookNotFound, "there is no book %d", id),
	}
}

// Age is how long ago the answer was the service's.
func (c *Copy) Age() time.Duration { return max(0, time.Since(c.FilledAt)) }

// due tells whether it is time to renew the copy.
func (c *Copy) due() bool { return int64(time.Since(c.begun)) >= c.refreshAt.Load() }

// claim is due, for one reader of all who ask; the next one is asked to try
// after a pause.
func (c *Copy) claim() bool {
	age, at := int64(time.Since(c.begun)), c.refreshAt.Load()
	return age >= at && c.refreshAt.CompareAndSwap(at, age+int64(refreshPause))
}

// over tells that the copy says that a book is not there, for too long.
func (c *Copy) over() bool {
	return c.Status == http.StatusNotFound && time.Since(c.begun) >= missingLife
}

// lasts tells whether the copy may be given while the circuit is open.
func (c *Copy) lasts() bool { return c.Status != http.StatusNotFound && c.Age() < staleLife }

// overhead is what a copy takes besides its texts: its structs and those of
// the map and the policy that hold it.
const overhead = 600

// weight is what a copy takes in bytes.
func (c *Copy) weight(key int) uint32 {
	return uint32(overhead + key + len(c.Body) + 2*len(c.ETag)) //nolint:gosec // answers are below 8 MiB
}
