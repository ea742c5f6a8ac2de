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
	// long is a queue of more than a few dozen clients can make who each wait for
	// their answer.
	long = 32
	// strictWait is for the gaps between two that leave.
	strictWait = 5 * time.Millisecond
	// calm is how many looks it takes to find that the rush is over.
	calm = 10
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
//	strict ── in half a second three of four found room at once ──► patient
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
	patient context.Context
	rush    context.CancelFunc // ends patient

	looked time.Time
	length int // of the queue at that time
	came   int // since then
	room   int // of them found it
	looks  int // in a row that found the queue standing; while it is strict, of which came and room are
}

// newQueue makes a queue with so many times the room that the settings name.
func newQueue(s Resilience, times uint) *queue {
	q := &queue{
		wait: time.Duration(times) * s.InFlightWait, //nolint:gosec // a few
		most: int(times * s.InFlightMost),
	}
	q.limiter = adaptivelimiter.NewBuilder[any]().
		WithLimits(times*s.InFlightLeast, times*s.InFlightMost, times*s.InFlightFirst).
		WithMaxLimitFactor(limitHeadroom).
		WithRecentWindow(limitEvery, limitEveryMax, limitSamples).
		WithRecentQuantile(limitQuantile).
		WithBaselineWindow(limitBaseline).
		Build()
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
	q.inVain()
	return nil, errFull
}

// arrive notes that a call came, and whether it found room. It returns how long
// the call may wait, and what else ends its waiting.
func (q *queue) arrive(room bool) (time.Duration, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.came++
	if room {
		q.room++
	}
	if now := time.Now(); now.Sub(q.looked) >= look {
		if q.strict {
			q.relax()
		} else {
			q.judge(now)
		}
		q.looked = now
	}
	if q.strict {
		return strictWait, context.Background()
	}
	return q.wait, q.patient
}

// judge looks whether a patient queue stands; the caller holds mu.
func (q *queue) judge(now time.Time) {
	length := q.limiter.Queued()
	// Where few come, they are no rush.
	often := now.Sub(q.looked) < 4*look
	if often && q.room == 0 && length >= long && length >= q.length {
		q.looks++
	} else {
		q.looks = 0
	}
	q.length, q.came, q.room = length, 0, 0
	if q.looks >= standing {
		q.beStrict()
	}
}

// relax looks whether a strict queue still needs to be; the caller holds mu.
func (q *queue) relax() {
	if q.looks++; q.looks < calm {
		return
	}
	if 4*q.room > 3*q.came {
		q.strict = false
		q.patient, q.rush = context.WithCancel(context.Background())
	}
	q.looks, q.length, q.came, q.room = 0, 0, 0, 0
}

// beStrict; the caller holds mu.
func (q *queue) beStrict() {
	q.strict, q.looks, q.came, q.room = true, 0, 0, 0
	q.rush()
}

// inVain is for who has waited and found no room.
func (q *queue) inVain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.strict {
		q.beStrict()
	}
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
