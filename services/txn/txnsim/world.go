package txnsim

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"bookstore/services/txn/twophase"
)

// World is one run: its time, its random draws, and everyone in it. Each draw is
// named by what it decides, so that a seed means the same faults whichever of two
// that act at the same moment comes first.
type World struct {
	scenario Scenario
	seed     uint64
	defect   Defect
	rates    rates
	began    time.Time
	calm     chan struct{} // closed when the faults are over
	over     chan struct{} // closed at the end of the run

	leader  *leader
	nodes   []*Node
	clients []*Client

	mu      sync.Mutex
	draws   map[string]uint64 // by name, how many there were
	broken  []string          // what did not hold
	meddled map[string]bool   // gids that were rolled back by hand: nothing is promised about them
	effects map[string][]effect
	story   []string // what happened, if it is told
	told    bool
}

// rates are how often each fault happens in a run. Each run has other ones, so that
// frequent faults do not hide rare ones.
type rates struct {
	lost, mute, twice float64       // of messages, of their answers, of both
	delay             time.Duration // of a message, at most; one in ten takes ten times as long
	crashes, freezes  bool          // of coordinators
	restarts          bool          // of participants
	jumps             bool          // of clocks
	failovers         bool          // of the coordinators' database
	meddling          bool          // somebody rolls back by hand what is prepared
}

func newWorld(seed uint64, defect Defect, told bool) *World {
	w := &World{
		seed: seed, defect: defect, began: time.Now(), calm: make(chan struct{}), over: make(chan struct{}),
		draws: map[string]uint64{}, meddled: map[string]bool{}, effects: map[string][]effect{}, told: told,
	}
	some := func(name string, most float64) float64 {
		return max(0, w.Draw(name).Float64()*2-1) * most // half the runs have none
	}
	half := func(name string) bool { return w.Chance(name, .5) }
	w.rates = rates{
		lost: some("lost", .25), mute: some("mute", .25), twice: some("twice", .4),
		delay:   time.Duration(1+w.Draw("delay").IntN(250)) * time.Millisecond,
		crashes: half("crashes"), freezes: half("freezes"), restarts: half("restarts"),
		jumps: half("jumps"), failovers: half("failovers") || defect == DecidedByReading,
		meddling: w.Chance("meddling", .1) || defect == LostIsDone,
	}
	w.leader = newLeader(w, twophase.DefaultSettings("database"))
	w.Tellf("%+v", w.rates)
	return w
}

// Draw is the next source of random numbers of this name.
func (w *World) Draw(name string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draws[name]++
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()+w.draws[name]))
}

// Chance is true with probability p.
func (w *World) Chance(name string, p float64) bool {
	return p > 0 && w.Draw(name).Float64() < p
}

// faulty is Chance as long as faults happen.
func (w *World) faulty(name string, p float64) bool { return !w.isCalm() && w.Chance(name, p) }

func (w *World) isCalm() bool {
	select {
	case <-w.calm:
		return true
	default:
		return false
	}
}

// Between draws a duration from least to most.
func (w *World) Between(name string, least, most time.Duration) time.Duration {
	return least + time.Duration(w.Draw(name).Int64N(int64(most-least)+1))
}

// Pass lets time pass, and reports false at the end of the run.
func (w *World) Pass(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.over:
		return false
	}
}

// Tellf adds a line to what happened.
func (w *World) Tellf(format string, args ...any) {
	if !w.told {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, fmt.Sprintf("%8.3f ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// Breachf reports something that does not hold.
func (w *World) Breachf(format string, args ...any) {
	w.Tellf("BREACH "+format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// lost reports that a branch has nothing to finish, unless it was rolled back by hand.
func (w *World) lost(call, gid string) {
	if !w.isMeddled(gid) {
		w.Breachf("%s: the branch is lost", call)
	}
}

func (w *World) isMeddled(gid string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meddled[gid]
}

// Write implements io.Writer for the log of the engines.
func (w *World) Write(line []byte) (int, error) {
	w.Tellf("%s", strings.TrimSpace(string(line)))
	return len(line), nil
}

func (w *World) log(name string) *slog.Logger {
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
