// Package fence makes a member's death certain and tells Consul of it.
//
// It runs beside one member, in a container of its own, on the same volume. The reasoning
// why it may do what it does stands in patroni/README.md, "Who may release a leader's key".
package fence

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bookstore/services/platform/wait"
)

// Fence watches over one member.
type Fence struct {
	Lock      Lock
	Member    Member
	Heartbeat Heartbeat
	Log       *slog.Logger

	// Sessions and Task are what the fence may do about the member.
	Sessions Sessions
	Task     Task

	// Every is the time between two questions to the member, and what an answer may take.
	Every time.Duration
	// Frozen is how long a leader may leave every question unanswered.
	Frozen time.Duration
}

// Sessions are the member's in Consul.
type Sessions interface {
	// Release ends all that bear the member's name. Only with its locks held.
	Release(ctx context.Context) (ended int, err error)
	// Leads says whether one of them holds the leader's key.
	Leads(ctx context.Context) (bool, error)
}

// Task is the one that the member runs in.
type Task interface {
	// Kill ends its processes at once, whatever they do.
	Kill(ctx context.Context) error
}

// patience bounds each call to Consul and Nomad: the next attempt comes soon.
const patience = 2 * time.Second

// Run returns when ctx ends.
func (f *Fence) Run(ctx context.Context) {
	var watches sync.WaitGroup
	watches.Go(func() { f.watchDeath(ctx) })
	watches.Go(func() { f.watchSilence(ctx) })
	watches.Wait()
}

// watchDeath ends the sessions of each life of the member as soon as that life is over.
//
// The locks are held meanwhile, so that the next life, whose sessions bear the same name,
// cannot begin before. When Consul does not answer, nothing is tried again: the locks must
// not be kept from the next life, which does the same before it starts.
func (f *Fence) watchDeath(ctx context.Context) {
	for ctx.Err() == nil {
		held, err := f.Lock.Wait(ctx)
		if err != nil {
			f.problem(ctx, "the member's locks cannot be waited for", err)
			wait.For(ctx, f.Every)
			continue
		}
		f.release(ctx)
		held.Release()
		if err := f.Lock.AwaitLife(ctx); err != nil {
			f.problem(ctx, "the member's next life cannot be waited for", err)
		}
	}
}

func (f *Fence) release(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended, err := f.Sessions.Release(within)
	switch {
	case err != nil:
		f.problem(ctx, "the dead member's sessions are left to time out", err)
	case ended > 0:
		f.Log.InfoContext(ctx, "the member is dead, its sessions are ended", "sessions", ended)
	}
}

// watchSilence kills a leader that answers nothing any more and does nothing any more. A
// member that does not lead harms nobody, and a leader that does anything is Patroni's to
// judge: on a machine that is short of processors a new leader, whom everybody asks at once,
// may well be silent for seconds. It is slow then; killed, the next one would be slow.
func (f *Fence) watchSilence(ctx context.Context) {
	silence := Silence{Slack: f.Every / 4}
	var heartbeats missed
	due := time.Now()
	for wait.For(ctx, time.Until(due)) {
		probe := Probe{Due: due, Began: time.Now(), Patience: f.Every}
		answer := f.Member.Probe(ctx, f.Every)
		probe.Ended, probe.Answered = time.Now(), answer != None
		last, err := f.Heartbeat.Last()
		still := heartbeats.observe(last, probe.Ended)
		switch lasts := silence.Add(probe); {
		case lasts < f.Frozen:
		case err != nil:
			f.problem(ctx, "the member is silent, and its heartbeat cannot be read", err)
		case still >= f.Frozen/2 && f.kill(ctx):
			silence.Reset()
		}
		due = later(due.Add(f.pauseAfter(answer)), time.Now())
	}
}

// pauseAfter: a member that does not lead is probed half as often.
func (f *Fence) pauseAfter(answer Answer) time.Duration {
	if answer == Standby {
		return 2 * f.Every
	}
	return f.Every
}

// kill kills a leader that stands still, and tells whether it had to.
func (f *Fence) kill(ctx context.Context) bool {
	within, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	leads, err := f.Sessions.Leads(within)
	if err != nil {
		// Without Consul nobody could take over from it either.
		f.problem(ctx, "the member is silent, and Consul does not say whether it leads", err)
		return false
	}
	if !leads {
		return false
	}
	f.Log.WarnContext(ctx, "the leader stands still, it is killed", "after", f.Frozen.String())
	if err := f.Task.Kill(within); err != nil {
		f.problem(ctx, "the silent leader cannot be killed", err)
	}
	return true
}

func (f *Fence) problem(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		f.Log.ErrorContext(ctx, what, "error", err.Error())
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
