package run

import (
	"fmt"
	"time"

	"bookstore/warehouse/cut"
	"bookstore/warehouse/store"
)

func positive[T int | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

// whyFull says why everything must be read; empty: it need not.
func whyFull(last *store.Manifest, c *cut.Cut, o Options) string {
	switch {
	case last == nil:
		return "there is no version yet"
	case o.Full:
		return "it was asked for"
	case last.System != c.System:
		return "the cluster is another one"
	case last.Timeline != c.Timeline:
		return fmt.Sprintf("the timeline went from %d to %d", last.Timeline, c.Timeline)
	case c.At.Sub(last.FullAt) >= positive(o.FullEvery, 24*time.Hour):
		return "the last full run is too long ago"
	}
	return ""
}
