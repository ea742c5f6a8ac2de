package cache

import (
	"net/http"
	"sync/atomic"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Copy is an answer of one moment in a form that can be sent again. Only its freshness changes.
type Copy struct {
	*coherence.Entry
	Tag     []byte       // the ETag
	Refusal *fault.Error // what a book that is not there or gone is answered with

	begun      time.Time // of the fill, by this process's clock
	generation uint64    // of the fill; 0: not for later readers
	outdated   atomic.Bool
	refreshAt  atomic.Int64 // the age in nanoseconds from which it is due for a refresh
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

// notThere is the copy for an id that no book has.
func notThere(id int64, since time.Time) *Copy {
	return &Copy{
		Entry:   &coherence.Entry{BookID: id, Status: http.StatusNotFound, FilledAt: since},
		Refusal: fault.Newf(kinds.BookNotFound, "there is no book %d", id),
	}
}

// Age is the time since the fill started.
func (c *Copy) Age() time.Duration { return max(0, time.Since(c.FilledAt)) }

// due tells whether the copy should be refreshed.
func (c *Copy) due() bool { return int64(time.Since(c.begun)) >= c.refreshAt.Load() }

// claim is due for one reader only: it returns true to the first, and again after refreshPause.
func (c *Copy) claim() bool {
	age, at := int64(time.Since(c.begun)), c.refreshAt.Load()
	return age >= at && c.refreshAt.CompareAndSwap(at, age+int64(refreshPause))
}

// over tells whether the copy is a 404 that has expired.
func (c *Copy) over() bool {
	return c.Status == http.StatusNotFound && time.Since(c.begun) >= missingLife
}

// lasts tells whether the copy may be served as stale.
func (c *Copy) lasts() bool { return c.Status != http.StatusNotFound && c.Age() < staleLife }

// overhead is the memory of a copy besides its texts, in bytes: its structs, and those of the map and the eviction policy.
const overhead = 600

// weight is the memory of a copy in bytes.
func (c *Copy) weight(key int) uint32 {
	return uint32(overhead + key + len(c.Body) + 2*len(c.ETag)) //nolint:gosec // answers are below 8 MiB
}
