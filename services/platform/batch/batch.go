// Package together makes one call of what several callers ask for at the same
// moment: those that ask while calls are on their way share the next one. Where
// nobody else asks, nobody waits; under load, one round trip and one flush to
// the disk serve many.
package batch

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// lanes are the calls on their way at once: one is made while another's
	// answer is read.
	lanes = 2
	most  = 64 // questions in a call
	// patience is how long a question waits for the calls before it. They may
	// hang on a server that says nothing any more, while another connection
	// would find the new one.
	patience = 100 * time.Millisecond
)

// Group brings questions together.
type Group[Q, A any] struct {
	call  func(context.Context, []Q) ([]A, error)
	apart func(error) bool
	turns chan struct{} // holds one for each call on its way

	mu    sync.Mutex
	queue []*asked[Q, A]
}

type asked[Q, A any] struct {
	question Q
	answered chan struct{}

	// Readable once answered is closed.
	answer A
	err    error
}

// New makes a group. call answers all questions in their order, or none. Its
// context carries what the first caller's does, but not its end. apart tells an
// error that one of the questions may be to blame for: the call is made for each
// half of them then, at once, until only who is to blame is left with it.
func New[Q, A any](call func(context.Context, []Q) ([]A, error), apart func(error) bool) *Group[Q, A] {
	return &Group[Q, A]{call: call, apart: apart, turns: make(chan struct{}, lanes)}
}

// Do asks a question. When ctx ends it returns, and the call may still be made:
// it is others' too.
func (g *Group[Q, A]) Do(ctx context.Context, question Q) (A, error) {
	one := &asked[Q, A]{question: question, answered: make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, one)
	g.mu.Unlock()
	g.see(context.WithoutCancel(ctx), one)
	select {
	case <-one.answered:
		return one.answer, one.err
	case <-ctx.Done():
		var none A
		return none, ctx.Err()
	}
}

// see returns when a question is on its way: in the call of another, or in one
// that begins here, because it is its turn or no turn comes.
func (g *Group[Q, A]) see(ctx context.Context, one *asked[Q, A]) {
	select {
	case g.turns <- struct{}{}:
		go g.inTurn(ctx)
		return
	default:
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case g.turns <- struct{}{}:
		go g.inTurn(ctx)
	case <-late.C:
		go g.send(ctx)
	case <-one.answered:
	}
}

func (g *Group[Q, A]) inTurn(ctx context.Context) {
	g.send(ctx)
	<-g.turns
}

// send makes the call for those who are waiting.
func (g *Group[Q, A]) send(ctx context.Context) {
	g.mu.Lock()
	n := min(len(g.queue), most)
	all := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	g.mu.Unlock()
	if n == 0 {
		return
	}
	g.answer(ctx, all)
}

// answer makes the call, and where it fails for what may be in one question, for
// both halves: one bad question costs the others two calls more on average, and
// a few in a row at most.
func (g *Group[Q, A]) answer(ctx context.Context, all []*asked[Q, A]) {
	err := g.ask(ctx, all)
	if err != nil && len(all) > 1 && g.apart(err) {
		var half sync.WaitGroup
		half.Go(func() { g.answer(ctx, all[len(all)/2:]) })
		g.answer(ctx, all[:len(all)/2])
		half.Wait()
		return
	}
	for _, one := range all {
		one.err = err
		close(one.answered)
	}
}

func (g *Group[Q, A]) ask(ctx context.Context, all []*asked[Q, A]) error {
	questions := make([]Q, len(all))
	for i, one := range all {
		questions[i] = one.question
	}
	answers, err := g.call(ctx, questions)
	if err != nil {
		return err
	}
	for i, one := range all {
		one.answer = answers[i]
	}
	return nil
}
