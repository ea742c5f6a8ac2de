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

// headerStart is when the ingress got the request, as "t=<seconds since 1970>".
// It overwrites what the client wrote.
const headerStart = "X-Request-Start"

// What makes a backlog.
const (
	backlogWindow   = 50 * time.Millisecond
	backlogPatience = 20 * time.Millisecond // on the way from the ingress
	backlogCrowd    = 32                    // on the way at the same time
	backlogOver     = 20                    // windows without
	// backlogClocks is how long a clock may be known by the quickest request.
	backlogClocks = time.Minute
	// A clock was set back where for so many windows the quickest requests took too
	// long, and all about the same: those of a backlog differ. So it was where a
	// request took longer than one can.
	backlogFlat  = 20
	backlogBand  = 10 * time.Millisecond
	backlogTaken = 15 * time.Second // the ingress gives up then
)

// backlog knows whether more requests come to this machine than it can carry, by
// how long they were on their way from the ingress: where processors are short,
// most of the waiting is there, in two proxies, before the gateway has seen anything.
//
// A backlog stands once even the quickest request of a window took too long (the
// standing queue of CoDel, RFC 8289) and many were on their way at once (by
// Little's law: a few that are slow are not helped by refusing them), and until
// for a second they were not many. Meanwhile whoever was on the way too long is late.
type backlog struct {
	waits prometheus.Histogram

	mu       sync.Mutex
	begun    time.Time // of the window
	quickest time.Duration
	total    time.Duration
	standing atomic.Bool
	calm     int // windows in a row

	// The clocks of the ingress and of this machine differ by what the quickest
	// request says, of this minute or the one before. This machine's is the one that
	// nobody sets, counted from origin; there is one ingress.
	origin  time.Time
	clocks  [2]time.Duration
	clockAt time.Time

	// Of the windows in a row whose quickest requests took about the same.
	flat            int
	lowest, highest time.Duration
}

func newBacklog(registry prometheus.Registerer) *backlog {
	b := &backlog{origin: time.Now(), waits: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ingress_wait_seconds", Help: "Time that requests were on their way from the ingress.",
		Buckets: []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})}
	registry.MustRegister(b.waits)
	return b
}

// late tells whether a request comes too late to be let through to a service.
func (b *backlog) late(h *fasthttp.RequestHeader) bool {
	start, ok := requestStart(h.Peek(headerStart))
	if !ok {
		return false
	}
	now := time.Now()
	// Sub reads the clock that nobody sets where both times have it, as the first
	// two have and start has not.
	return b.arrived(now, now.Sub(b.origin)-start.Sub(b.origin.Round(0)))
}

// arrived counts a request that took so long, by two clocks.
func (b *backlog) arrived(now time.Time, took time.Duration) (late bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := took - b.clock(now, took)
	if wait > backlogTaken {
		b.setClock(now, took)
		wait = 0
	}
	b.waits.Observe(wait.Seconds())
	if passed := now.Sub(b.begun); passed >= backlogWindow {
		b.judge(passed)
		if b.offset() {
			b.setClock(now, b.base()+b.lowest)
			wait = took - b.base()
		}
		b.begun, b.quickest, b.total = now, wait, 0
	}
	b.quickest = min(b.quickest, wait)
	b.total += wait
	return b.standing.Load() && wait > backlogPatience
}

// judge ends a window.
func (b *backlog) judge(passed time.Duration) {
	crowd := b.total >= backlogCrowd*passed
	switch {
	case crowd && b.quickest > backlogPatience:
		b.standing.Store(true)
		b.calm = 0
	case crowd:
		b.calm = 0
	case passed >= backlogOver*backlogWindow:
		b.standing.Store(false)
	default:
		if b.calm++; b.calm >= backlogOver {
			b.standing.Store(false)
		}
	}
}

// offset tells, at the end of a window, whether what looks like a backlog is a
// clock that was set back.
func (b *backlog) offset() bool {
	low, high := min(b.lowest, b.quickest), max(b.highest, b.quickest)
	if b.flat == 0 || high-low > backlogBand {
		b.flat, b.lowest, b.highest = 1, b.quickest, b.quickest
		return false
	}
	b.flat, b.lowest, b.highest = b.flat+1, low, high
	return b.flat >= backlogFlat && low > backlogPatience
}

// clock is by how much this machine's clock is ahead of the ingress', and less
// than a millisecond more.
func (b *backlog) clock(now time.Time, took time.Duration) time.Duration {
	switch age := now.Sub(b.clockAt); {
	case b.clockAt.IsZero() || age >= 2*backlogClocks:
		b.clocks, b.clockAt = [2]time.Duration{took, took}, now
	case age >= backlogClocks:
		b.clocks, b.clockAt = [2]time.Duration{took, b.clocks[0]}, now
	default:
		b.clocks[0] = min(b.clocks[0], took)
	}
	return b.base()
}

func (b *backlog) base() time.Duration { return min(b.clocks[0], b.clocks[1]) }

// setClock begins anew: nothing that was found by the other clock holds.
func (b *backlog) setClock(now time.Time, took time.Duration) {
	b.clocks, b.clockAt = [2]time.Duration{took, took}, now
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

// asLate marks what a late request asks for.
func asLate(ctx context.Context) context.Context { return context.WithValue(ctx, lateKey{}, true) }

func isLate(ctx context.Context) bool { return ctx.Value(lateKey{}) != nil }
