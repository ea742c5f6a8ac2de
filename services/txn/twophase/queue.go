package twophase

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// queues make requests wait until there is room for them: in the queue of each
// resource that they are about, then for a place among all. Many requests for one
// resource wait here, where they block no others, and not in the branches, where
// each holds a connection and runs into lock_timeout: without a bound, two hundred
// requests for one row stop all others.
//
// A request keeps its places until its branches are known to be finished, also
// when its client was answered before that: this bounds the prepared
// transactions that a coordinator leaves in the databases.
type queues struct {
	perResource int
	mostQueued  int // in each queue

	mu        sync.Mutex
	places    queue // of all requests
	resources map[string]*queue
}

// Want is a resource that a request is about, named once in it, and how much of
// the resource the request takes; a shortage never refuses 0.
type Want struct {
	Resource string // not empty
	Amount   int64
}

// Shortage says that too little of a resource is left for a request, as a
// branch that holds the resource has found.
type Shortage struct {
	Resource string
	Left     int64
	Refusal  *fault.Error // for those who wait for more than is left
}

// queue gives out places in the order of arrival.
type queue struct {
	free, held int
	left       int // of those held: by requests whose clients were answered
	waiting    []*waiter
	short      *shortage // the latest
}

// shortage is the latest that was found of a resource.
type shortage struct {
	Shortage
	since time.Time // the database was read then or later
}

// shortError is the refusal of a request that a shortage answered while it waited.
type shortError struct{ refusal *fault.Error }

func (s *shortError) Error() string { return s.refusal.Error() }
func (s *shortError) Unwrap() error { return s.refusal }

// waiter is a request in a queue.
type waiter struct {
	amount  int64
	arrived time.Time
	answer  chan error // one: nil is a place
}

// place is what a request holds of the queues.
type place struct {
	queues    *queues // nil: it needs none
	resources []string
	admitted  bool // among all
	abandoned bool // counted in left
}

func newQueues(places, perResource, mostQueued int) *queues {
	return &queues{perResource: perResource, mostQueued: mostQueued, places: queue{free: places}, resources: map[string]*queue{}}
}

// atOnce returns a place if there is room for the request, otherwise nil.
func (q *queues) atOnce(wants []Want) *place {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := func(w Want) bool { one := q.resources[w.Resource]; return one != nil && one.free == 0 }
	if q.places.free == 0 || slices.ContainsFunc(wants, full) {
		return nil
	}
	got := &place{queues: q, admitted: true}
	q.places.take()
	for _, w := range wants {
		q.of(w.Resource).take()
		got.resources = append(got.resources, w.Resource)
	}
	return got
}

// take waits for the places of a request that arrived at this time. It fails with
// a shortError once a read of the database that began later has found too little
// of a resource; with Overloaded when ctx ends, or too many wait already; and with
// Unavailable when unfinished transactions hold all places and none of their
// clients waits any more.
func (q *queues) take(ctx context.Context, wants []Want, arrived time.Time) (*place, error) {
	// All requests take places in the same order, so that none wait in a circle.
	wants = slices.SortedFunc(slices.Values(wants), func(a, b Want) int { return cmp.Compare(a.Resource, b.Resource) })
	got := &place{queues: q}
	for _, w := range wants {
		if err := q.enter(ctx, w.Resource, &waiter{amount: w.Amount, arrived: arrived, answer: make(chan error, 1)}); err != nil {
			got.leave()
			return nil, err
		}
		got.resources = append(got.resources, w.Resource)
	}
	if err := q.enter(ctx, everything, &waiter{answer: make(chan error, 1)}); err != nil {
		got.leave()
		return nil, err
	}
	got.admitted = true
	return got, nil
}

// everything names the queue for places among all requests. No resource is called so.
const everything = ""

// enter waits for a place in a queue.
func (q *queues) enter(ctx context.Context, resource string, w *waiter) error {
	q.mu.Lock()
	one := q.of(resource)
	switch {
	case one.short.refuses(w):
		refusal := one.short.Refusal // under the lock: a later shortage may not refuse w
		q.mu.Unlock()
		return &shortError{refusal}
	case one.free > 0:
		one.take()
		q.mu.Unlock()
		return nil
	case len(one.waiting) >= q.mostQueued:
		q.mu.Unlock()
		return tooMany()
	case resource == everything && one.left == one.held:
		q.mu.Unlock()
		return allUnfinished()
	}
	one.waiting = append(one.waiting, w)
	q.mu.Unlock()
	select {
	case err := <-w.answer:
		return err
	case <-ctx.Done():
		return q.giveUp(resource, w)
	}
}

// giveUp takes a request out of a queue. If it has just been given its place, it
// goes on, and its next call finds that ctx has ended.
func (q *queues) giveUp(resource string, w *waiter) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	one := q.of(resource)
	if i := slices.Index(one.waiting, w); i >= 0 {
		one.waiting = slices.Delete(one.waiting, i, i+1)
		q.forget(resource)
		return tooMany()
	}
	return <-w.answer
}

func tooMany() error {
	return &fault.Error{
		Kind: fault.Overloaded, RetryAfter: time.Second,
		Message: "too many requests at once: nothing has changed, ask again with the same Idempotency-Key",
	}
}

func allUnfinished() error {
	return &fault.Error{
		Kind: fault.Unavailable, RetryAfter: time.Second,
		Message: "a part of the service does not answer, and requests wait for it: nothing has changed, ask again with the same Idempotency-Key",
	}
}

// short refuses the waiting requests that a shortage answers: they arrived before
// since, when the database was read, and take more than was left.
func (q *queues) short(found []Shortage, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, one := range found {
		waiting := q.resources[one.Resource]
		if waiting == nil {
			continue
		}
		waiting.short = &shortage{one, since}
		waiting.refuse(&shortError{one.Refusal}, waiting.short.refuses)
		q.forget(one.Resource)
	}
}

// refuses tells whether a shortage answers a request.
func (s *shortage) refuses(w *waiter) bool {
	return s != nil && w.amount > s.Left && w.arrived.Before(s.since)
}

// of returns the queue of a resource. It exists while a request is in it.
func (q *queues) of(resource string) *queue {
	if resource == everything {
		return &q.places
	}
	one := q.resources[resource]
	if one == nil {
		one = &queue{free: q.perResource}
		q.resources[resource] = one
	}
	return one
}

func (q *queues) forget(resource string) {
	if one := q.resources[resource]; one != nil && one.held == 0 && len(one.waiting) == 0 {
		delete(q.resources, resource)
	}
}

// abandon is called for a request whose client has been answered while branches
// are unfinished.
func (p *place) abandon() {
	if p.queues == nil {
		return
	}
	all := &p.queues.places
	p.queues.mu.Lock()
	defer p.queues.mu.Unlock()
	if !p.admitted || p.abandoned {
		return
	}
	p.abandoned = true
	all.left++
	if all.left == all.held && all.free == 0 {
		all.refuse(allUnfinished(), func(*waiter) bool { return true })
	}
}

// leaveResources gives the places in the resources' queues back, once their rows
// are unlocked.
func (p *place) leaveResources() {
	if p.queues == nil {
		return
	}
	p.queues.mu.Lock()
	defer p.queues.mu.Unlock()
	for _, resource := range p.resources {
		p.queues.of(resource).give()
		p.queues.forget(resource)
	}
	p.resources = nil
}

// leave gives everything back.
func (p *place) leave() {
	if p.queues == nil {
		return
	}
	p.leaveResources()
	all := &p.queues.places
	p.queues.mu.Lock()
	defer p.queues.mu.Unlock()
	if !p.admitted {
		return
	}
	p.admitted = false
	if p.abandoned {
		all.left--
	}
	all.give()
}

func (q *queue) take() { q.free, q.held = q.free-1, q.held+1 }

// give hands a place to the next who waits for one.
func (q *queue) give() {
	if len(q.waiting) == 0 {
		q.free, q.held = q.free+1, q.held-1
		return
	}
	q.waiting[0].answer <- nil
	q.waiting = slices.Delete(q.waiting, 0, 1)
}

// refuse refuses the waiting requests that meant selects.
func (q *queue) refuse(refusal error, meant func(*waiter) bool) {
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waiter) bool {
		if !meant(w) {
			return false
		}
		w.answer <- refusal
		return true
	})
}
