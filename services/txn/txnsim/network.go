package txnsim

import (
	"context"
	"sync"
	"time"

	"bookstore/services/platform/fault"
)

// Process is one life of a program. What it sends after its death never leaves it, and
// nobody receives what is sent to it; while it is frozen, both are delayed.
type Process struct {
	Name string

	w    *World
	died chan struct{}

	mu   sync.Mutex
	thaw chan struct{} // nil: not frozen
}

func (w *World) newProcess(name string) *Process {
	return &Process{Name: name, w: w, died: make(chan struct{})}
}

func (p *Process) alive() bool {
	select {
	case <-p.died:
		return false
	default:
		return true
	}
}

func (p *Process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw == nil {
		p.thaw = make(chan struct{})
	}
}

func (p *Process) melt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw != nil {
		close(p.thaw)
		p.thaw = nil
	}
}

// acts blocks a frozen process until it goes on, and a dead one until the end of the
// run, when it reports false.
func (p *Process) acts() bool {
	for {
		p.mu.Lock()
		thaw := p.thaw
		p.mu.Unlock()
		if !p.alive() {
			<-p.w.over
			return false
		}
		if thaw == nil {
			return true
		}
		select {
		case <-thaw:
		case <-p.died:
		case <-p.w.over:
			return false
		}
	}
}

func gone() error { return fault.New(fault.Unavailable, "the connection broke") }

// reply is the result of a call.
type reply[T any] struct {
	value T
	err   error
}

// Send carries a call of p over the network: it may be lost, late, or arrive twice, and
// its answer may be lost. handle runs when it arrives. call names it to the random draws.
func Send[T any](ctx context.Context, p *Process, call string, handle func() (T, error)) (T, error) {
	var nothing T
	w := p.w
	if !p.acts() {
		return nothing, gone()
	}
	copies := 1
	switch {
	case w.faulty("lost "+call, w.rates.lost):
		copies = 0
		w.Tellf("%s: %s is lost", p.Name, call)
	case w.faulty("twice "+call, w.rates.twice):
		copies = 2
	}
	answers := make(chan reply[T], 2)
	for range copies {
		go func() {
			if !w.Pass(w.travel(call)) {
				return
			}
			value, err := handle()
			w.Tellf("%s: %s is answered %v", p.Name, call, describe(err))
			if w.Pass(w.travel(call)) {
				answers <- reply[T]{value, err}
			}
		}()
	}
	mute := copies == 0 || w.faulty("mute "+call, w.rates.mute)
	value, err := receive(ctx, w, call, answers, mute)
	if !p.acts() {
		return nothing, gone()
	}
	return value, err
}

// sendOnce is Send over a connection that delivers nothing twice.
func sendOnce[T any](ctx context.Context, p *Process, call string, handle func() (T, error)) (T, error) {
	var first sync.Once
	return Send(ctx, p, call, func() (value T, err error) {
		err = gone()
		first.Do(func() { value, err = handle() })
		return value, err
	})
}

// receive waits for an answer. One that is lost shows as a broken connection, or not at
// all until the faults are over.
func receive[T any](ctx context.Context, w *World, call string, answers <-chan reply[T], mute bool) (T, error) {
	var nothing T
	var broke <-chan time.Time
	var mended <-chan struct{}
	if mute {
		answers, mended = nil, w.calm
		if w.Chance("broke "+call, .5) {
			timer := time.NewTimer(w.travel(call))
			defer timer.Stop()
			broke = timer.C
		}
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-broke:
		return nothing, gone()
	case <-mended:
		return nothing, gone()
	case <-ctx.Done():
		return nothing, &fault.Error{Kind: fault.KindOf(ctx.Err()), Err: ctx.Err()}
	case <-w.over:
		return nothing, gone()
	}
}

// travel is how long a message is under way.
func (w *World) travel(call string) time.Duration {
	if w.isCalm() {
		return w.Between("travel "+call, 100*time.Microsecond, 2*time.Millisecond)
	}
	d := w.Between("travel "+call, 100*time.Microsecond, w.rates.delay)
	if w.Chance("late "+call, .1) {
		d *= 10
	}
	return d
}

func describe(err error) string {
	if err == nil {
		return "done"
	}
	return string(fault.KindOf(err)) + " " + fault.As(err).Message
}
