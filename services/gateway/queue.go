package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
)

// errFull is what a call is refused with that its destination has no room for.
var errFull = errors.New("the destination has all that it can carry")

const (
	// look is how often the queue is looked at, and standing how many looks in
	// a row find that it is long and grows before those in it are told.
	look     = 50 * time.Millisecond
	standing = 3
	// long is a queue with so many times what is let in at once: more than all
	// of a few dozen clients, who each wait for their answer, can make.
	long = 2
	// strictWait is for the gaps between two that leave.
	strictWait = 5 * time.Millisecond
	// calm is how long nobody must have been refused for a queue to be patient again.
	calm = time.Second
	// slowAfter is when a call no longer counts as work of its destination: it
	// waits for something that is not hastened by others staying away.
	slowAfter = 300 * time.Millisecond
)

// What the library's limiter judges by: the median of a tenth of a second or
// more, against that of the last minute. By its own defaults, made for slower
// changes, it needs longer than a rush lasts.
const (
	limitEvery    = 100 * time.Millisecond
	limitEveryMax = time.Second
	limitSamples  = 10
	limitQuantile = 0.5
	limitBaseline = 600 // times limitEvery
	limitHeadroom = 2   // times what is in flight: a burst waits
)

// queue is before a destination: it lets in as many calls at once as the
// destination carries, and the others wait. Waiting helps a burst, and is lost
// on a rush, in which all who come would wait for as long as is allowed. The
// two are told apart by whether the queue becomes shorter, as in controlled
// delay (CoDel, RFC 8289):
//
//	patient ── nobody found room and the queue was long and became no shorter, look after
//	           look; or somebody has waited in vain ──► strict: who waits patiently is refused
//	strict ── nobody was refused for a second ──► patient
//
// While it is strict hardly anyone waits. Who is refused then has lost nothing
// but a moment, and who is let in is served like any other.
type queue struct {
	limiter adaptivelimiter.AdaptiveLimiter[any]
	wait    time.Duration // while it is patient
	most    int           // calls in flight, slow ones included

	mu      sync.Mutex
	slow    int // calls in flight that are no longer counted by the limiter
	strict  bool
	refused time.Time // somebody, the last time
	patient context.Context
	rush    context.CancelFunc // ends patient

	looked time.Time
	room   bool // since then somebody found it
	length int  // of the queue at that time
	stands int  // looks in a row
}

func newQueue(least, first, most uint, wait time.Duration) *queue {
	q := &queue{wait: wait, most: int(most), limiter: adaptivelimiter.NewBuilder[any]().
		WithLimits(least, most, first).
		WithMaxLimitFactor(limitHeadroom).
		WithRecentWindow(limitEvery, limitEveryMax, limitSamples).
		WithRecentQuantile(limitQuantile).
		WithBaselineWindow(limitBaseline).
		Build()}
	q.patient, q.rush = context.WithCancel(context.Background())
	return q
}

// enter waits for a place: errFull is that there is none, any other error the
// end of ctx. Whoever gets a place leaves it.
func (q *queue) enter(ctx context.Context) (*place, error) {
	permit, ok := q.limiter.TryAcquirePermit()
	wait, patient := q.arrive(ok)
	if ok {
		return q.place(permit), nil
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(patient, stop)()
	permit, err := q.limiter.AcquirePermitWithMaxWait(waiting, wait)
	switch {
	case err == nil:
		return q.place(permit), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	q.refuse()
	return nil, errFull
}

func (q *queue) refuse() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refused = time.Now()
	if !q.strict {
		q.beStrict()
	}
}

// arrive notes that a call came, and whether it found room. It returns how long
// the call may wait, and what else ends its waiting.
func (q *queue) arrive(room bool) (time.Duration, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.room = q.room || room
	if now := time.Now(); now.Sub(q.looked) >= look {
		q.judge(now)
	}
	if q.strict {
		return strictWait, context.Background()
	}
	return q.wait, q.patient
}

// judge looks at the queue; the caller holds mu.
func (q *queue) judge(now time.Time) {
	length := q.limiter.Queued()
	// Where few come, they are no rush.
	often := now.Sub(q.looked) < 2*look
	if often && !q.room && length >= long*q.limiter.Limit() && length >= q.length {
		q.stands++
	} else {
		q.stands = 0
	}
	q.looked, q.room, q.length = now, false, length
	switch {
	case !q.strict && q.stands >= standing:
		q.refused = now
		q.beStrict()
	case q.strict && now.Sub(q.refused) >= calm:
		q.strict = false
		q.patient, q.rush = context.WithCancel(context.Background())
	}
}

// beStrict; the caller holds mu.
func (q *queue) beStrict() {
	q.strict = true
	q.rush()
}

// place is what a call has while it is with its destination.
type place struct {
	queue  *queue
	permit adaptivelimiter.Permit
	timer  *time.Timer

	// Guarded by the queue's mu.
	slow, left bool
}

func (q *queue) place(permit adaptivelimiter.Permit) *place {
	p := &place{queue: q, permit: permit}
	p.timer = time.AfterFunc(slowAfter, p.takesLong)
	return p
}

// takesLong makes room for another call, as long as they are not too many in all.
func (p *place) takesLong() {
	q := p.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if p.left || q.slow+q.limiter.Limit() >= q.most {
		return
	}
	p.slow = true
	q.slow++
	p.permit.Drop()
}

// leave gives the place back. The time that it was taken tells the limiter
// something of the load, or not.
func (p *place) leave(tells bool) {
	p.timer.Stop()
	q := p.queue
	q.mu.Lock()
	p.left = true
	slow := p.slow
	if slow {
		q.slow--
	}
	q.mu.Unlock()
	switch {
	case slow:
	case tells:
		p.permit.Record()
	default:
		p.permit.Drop()
	}
}

// inFlight is how many calls are with the destination.
func (q *queue) inFlight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.slow + q.limiter.Inflight()
}
