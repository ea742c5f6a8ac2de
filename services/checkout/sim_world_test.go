package checkout_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txntest"
)

// world is one run of the simulation: its time, its chances, and everyone in it.
// Chances are drawn by the name of what they are about, so that a seed means
// the same faults whoever of two that act at the same moment is first.
type world struct {
	seed   uint64
	defect defect
	rough  roughness
	began  time.Time
	calm   chan struct{} // closed when the faults are over
	over   chan struct{} // closed at the end of the run

	ledger  *ledger
	books   *books
	orders  *orders
	nodes   []*node
	clients []*client

	mu      sync.Mutex
	draws   map[string]uint64 // by name, how many there were
	broken  []string          // promises
	meddled map[string]bool   // gids that no promise is made for
	story   []string          // what happened, when it is told
	told    bool
}

// roughness is how much goes wrong in a run: in each other things, so that rare
// ones are not drowned by frequent ones.
type roughness struct {
	lost, mute, twice float64       // of messages, of their answers, of both
	delay             time.Duration // of a message, at most; one in ten takes as long as ten
	crashes, freezes  bool          // of coordinators
	restarts          bool          // of participants
	jumps             bool          // of clocks
	failovers         bool          // of coordinatordb
	prices            bool          // move
	meddling          bool          // somebody rolls back by hand what is prepared
}

func newWorld(seed uint64, broken defect, told bool) *world {
	w := &world{
		seed: seed, defect: broken, began: time.Now(), calm: make(chan struct{}), over: make(chan struct{}),
		draws: map[string]uint64{}, meddled: map[string]bool{}, told: told,
	}
	some := func(name string, most float64) float64 {
		return max(0, w.draw(name).Float64()*2-1) * most // half the runs have none
	}
	half := func(name string) bool { return w.chance(name, .5) }
	w.rough = roughness{
		lost: some("lost", .25), mute: some("mute", .25), twice: some("twice", .4),
		delay:   time.Duration(1+w.draw("delay").IntN(250)) * time.Millisecond,
		crashes: half("crashes"), freezes: half("freezes"), restarts: half("restarts"),
		jumps: half("jumps"), failovers: half("failovers") || broken == byReading, prices: half("prices"),
		meddling: w.chance("meddling", .1) || broken == trusting,
	}
	settings := twophase.DefaultSettings("database")
	w.ledger = &ledger{w: w}
	w.ledger.memory = txntest.NewMemory(settings, w.ledger.now)
	w.books, w.orders = newBooks(w), newOrders(w)
	w.tellf("%+v", w.rough)
	return w
}

// draw is the next chance of this name.
func (w *world) draw(name string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draws[name]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()+w.draws[name]))
}

func (w *world) chance(name string, p float64) bool {
	return p > 0 && w.draw(name).Float64() < p
}

// faulty is chance while things still go wrong.
func (w *world) faulty(name string, p float64) bool { return !w.isCalm() && w.chance(name, p) }

func (w *world) isCalm() bool {
	select {
	case <-w.calm:
		return true
	default:
		return false
	}
}

func (w *world) between(name string, least, most time.Duration) time.Duration {
	return least + time.Duration(w.draw(name).Int64N(int64(most-least)+1))
}

// pass lets time pass; false at the end of the run.
func (w *world) pass(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.over:
		return false
	}
}

func (w *world) tellf(format string, args ...any) {
	if !w.told {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, fmt.Sprintf("%8.3f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// breach notes a broken promise.
func (w *world) breachf(format string, args ...any) {
	w.tellf("BREACH "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// lost notes that a branch has nothing to finish, which only meddling explains.
func (w *world) lost(call, gid string) {
	w.mu.Lock()
	explained := w.meddled[gid]
	w.mu.Unlock()
	if !explained {
		w.breachf("%s: the branch is lost", call)
	}
}

// Write takes the log of the services.
func (w *world) Write(line []byte) (int, error) {
	w.tellf("%s", strings.TrimSpace(string(line)))
	return len(line), nil
}

func (w *world) log(name string) *slog.Logger {
	if !w.told {
		return slog.New(slog.DiscardHandler)
	}
	bare := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: bare})).With("at", name)
}

// process is one life of a program. What it sends after its death nobody gets,
// and what is sent to it is heard by nobody; frozen, it does both later.
type process struct {
	w    *world
	name string
	died chan struct{}

	mu   sync.Mutex
	thaw chan struct{} // nil: not frozen
}

func (w *world) newProcess(name string) *process {
	return &process{w: w, name: name, died: make(chan struct{})}
}

func (p *process) alive() bool {
	select {
	case <-p.died:
		return false
	default:
		return true
	}
}

func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw == nil {
		p.thaw = make(chan struct{})
	}
}

func (p *process) melt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw != nil {
		close(p.thaw)
		p.thaw = nil
	}
}

// acts lets a frozen process wait, and a dead one until the end of the run.
func (p *process) acts() bool {
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

// reply is what a call came to.
type reply[T any] struct {
	value T
	err   error
}

// send carries a call of p over the network: it may arrive never, late, or
// twice, and its answer may be lost. handle is what happens when it arrives.
func send[T any](ctx context.Context, p *process, call string, handle func() (T, error)) (T, error) {
	var none T
	w := p.w
	if !p.acts() {
		return none, gone()
	}
	copies := 1
	switch {
	case w.faulty("lost "+call, w.rough.lost):
		copies = 0
		w.tellf("%s: %s is lost", p.name, call)
	case w.faulty("twice "+call, w.rough.twice):
		copies = 2
	}
	answers := make(chan reply[T], 2)
	for range copies {
		go func() {
			if !w.pass(w.travel(call)) {
				return
			}
			value, err := handle()
			w.tellf("%s: %s is answered %v", p.name, call, spoken(err))
			if w.pass(w.travel(call)) {
				answers <- reply[T]{value, err}
			}
		}()
	}
	// Who waits for ever is told at the latest when all is mended.
	mute := copies == 0 || w.faulty("mute "+call, w.rough.mute)
	value, err := heard(ctx, w, call, answers, mute)
	if !p.acts() {
		return none, gone()
	}
	return value, err
}

// heard waits for an answer; one that is lost shows as a broken connection or
// not at all.
func heard[T any](ctx context.Context, w *world, call string, answers <-chan reply[T], mute bool) (T, error) {
	var none T
	var broke <-chan time.Time
	var mended <-chan struct{}
	if mute {
		answers, mended = nil, w.calm
		if w.chance("broke "+call, .5) {
			timer := time.NewTimer(w.travel(call))
			defer timer.Stop()
			broke = timer.C
		}
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-broke:
		return none, gone()
	case <-mended:
		return none, gone()
	case <-ctx.Done():
		return none, &fault.Error{Kind: fault.KindOf(ctx.Err()), Err: ctx.Err()}
	case <-w.over:
		return none, gone()
	}
}

// travel is how long a message is under way.
func (w *world) travel(call string) time.Duration {
	if w.isCalm() {
		return w.between("travel "+call, 100*time.Microsecond, 2*time.Millisecond)
	}
	d := w.between("travel "+call, 100*time.Microsecond, w.rough.delay)
	if w.chance("late "+call, .1) {
		d *= 10
	}
	return d
}

func spoken(err error) string {
	if err == nil {
		return "done"
	}
	return string(fault.KindOf(err)) + " " + fault.As(err).Message
}
