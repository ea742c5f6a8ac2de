package gateway

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// headerStart is the time at which the ingress received the request, as "t=<seconds since 1970>". The ingress overwrites
// a client's value.
const headerStart = "X-Request-Start"

// The thresholds of a backlog.
const (
	backlogWindow   = 50 * time.Millisecond
	backlogTarget   = 20 * time.Millisecond // in flight from the ingress
	backlogInFlight = 32                    // requests in flight from the ingress at the same time
	calmWindows     = 20                    // windows below the threshold that end a backlog
	// offsetWindow is how long the clock offset of the quickest request is used.
	offsetWindow = time.Minute
	// A clock was set back if for flatWindows windows the quickest requests took too long, and all about the same time
	// (within flatBand): in a backlog they differ. So it was if a request took longer than longestWait.
	flatWindows = 20
	flatBand    = 10 * time.Millisecond
	longestWait = 15 * time.Second // the ingress gives up then
)

// backlog detects that more requests come to this machine than it can serve, by the time that they spend between the
// ingress and the gateway. When processors are short, most of the waiting is there, in two proxies.
//
// A backlog begins when even the quickest request of a window took longer than backlogTarget (the standing queue of
// CoDel, RFC 8289) while backlogInFlight requests were in flight (by Little's law; refusing does not help a few slow ones).
// It ends after one second below that number. Until then requests that took longer than backlogTarget are late, and
// may be refused.
type backlog struct {
	waits prometheus.Histogram

	mu       sync.Mutex
	begun    time.Time // of the window
	quickest time.Duration
	total    time.Duration
	standing atomic.Bool
	calm     int // windows in a row below the threshold

	// The offset between the clock of the ingress and this machine's is estimated by the quickest request of this minute
	// or the one before. This machine's is the monotonic clock, counted from epoch. There is one ingress.
	epoch     time.Time
	offsets   [2]time.Duration
	offsetsAt time.Time

	// Windows in a row whose quickest requests took about the same time, and the bounds of these times.
	flat            int
	lowest, highest time.Duration
}

func newBacklog(registry prometheus.Registerer) *backlog {
	b := &backlog{epoch: time.Now(), waits: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ingress_wait_seconds", Help: "Time of requests between the ingress and the gateway.",
		Buckets: []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})}
	registry.MustRegister(b.waits)
	return b
}

// late counts a request, and tells whether it is late.
func (b *backlog) late(h *fasthttp.RequestHeader) bool {
	start, ok := requestStart(h.Peek(headerStart))
	if !ok {
		return false
	}
	now := time.Now()
	// Sub uses the monotonic clock if both times have one: the first two have, start has not.
	return b.observe(now, now.Sub(b.epoch)-start.Sub(b.epoch.Round(0)))
}

// observe counts a request that took this long, measured by two clocks.
func (b *backlog) observe(now time.Time, took time.Duration) (late bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := took - b.offset(now, took)
	if wait > longestWait {
		b.resetOffset(now, took)
		wait = 0
	}
	b.waits.Observe(wait.Seconds())
	if passed := now.Sub(b.begun); passed >= backlogWindow {
		b.endWindow(passed)
		if b.clockWasSet() {
			b.resetOffset(now, b.minOffset()+b.lowest)
			wait = took - b.minOffset()
		}
		b.begun, b.quickest, b.total = now, wait, 0
	}
	b.quickest = min(b.quickest, wait)
	b.total += wait
	return b.standing.Load() && wait > backlogTarget
}

// endWindow ends a window and decides whether there is a backlog.
func (b *backlog) endWindow(passed time.Duration) {
	busy := b.total >= backlogInFlight*passed
	switch {
	case busy && b.quickest > backlogTarget:
		b.standing.Store(true)
		b.calm = 0
	case busy:
		b.calm = 0
	case passed >= calmWindows*backlogWindow:
		b.standing.Store(false)
	default:
		if b.calm++; b.calm >= calmWindows {
			b.standing.Store(false)
		}
	}
}

// clockWasSet tells, at the end of a window, whether an apparent backlog is a clock that was set back.
func (b *backlog) clockWasSet() bool {
	low, high := min(b.lowest, b.quickest), max(b.highest, b.quickest)
	if b.flat == 0 || high-low > flatBand {
		b.flat, b.lowest, b.highest = 1, b.quickest, b.quickest
		return false
	}
	b.flat, b.lowest, b.highest = b.flat+1, low, high
	return b.flat >= flatWindows && low > backlogTarget
}

// offset estimates the offset of this machine's clock against the ingress's, too high by less than a millisecond.
func (b *backlog) offset(now time.Time, took time.Duration) time.Duration {
	switch age := now.Sub(b.offsetsAt); {
	case b.offsetsAt.IsZero() || age >= 2*offsetWindow:
		b.offsets, b.offsetsAt = [2]time.Duration{took, took}, now
	case age >= offsetWindow:
		b.offsets, b.offsetsAt = [2]time.Duration{took, b.offsets[0]}, now
	default:
		b.offsets[0] = min(b.offsets[0], took)
	}
	return b.minOffset()
}

func (b *backlog) minOffset() time.Duration { return min(b.offsets[0], b.offsets[1]) }

// resetOffset starts over with a new offset: nothing measured with the old one holds.
func (b *backlog) resetOffset(now time.Time, took time.Duration) {
	b.offsets, b.offsetsAt = [2]time.Duration{took, took}, now
	b.standing.Store(false)
	b.flat, b.calm = 0, 0
}

// requestStart reads the header.
func requestStart(written []byte) (start time.Time, ok bool) {
	digits, ok := bytes.CutPrefix(written, []byte("t="))
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(string(digits), 64)
	if sane := seconds >= 0 && seconds < 1<<32; err != nil || !sane { // not sane: NaN too
		return time.Time{}, false
	}
	return time.UnixMicro(int64(seconds * 1e6)), true
}

type lateKey struct{}

// asLate marks the context of a late request.
func asLate(ctx context.Context) context.Context { return context.WithValue(ctx, lateKey{}, true) }

func isLate(ctx context.Context) bool { return ctx.Value(lateKey{}) != nil }
