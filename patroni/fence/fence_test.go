package fence_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bookstore/patroni/fence"
	"bookstore/services/platform/wait/waittest"
)

// processes kills a life as Nomad kills a container: the first process, then the others.
type processes struct{ life }

func (p processes) Kill(context.Context) error {
	kill(p.first)
	kill(p.postgres)
	return nil
}

func run(t *testing.T, f *fence.Fence) {
	t.Helper()
	f.Log = slog.New(slog.DiscardHandler)
	f.Every, f.Frozen = 400*time.Millisecond, 800*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

// The whole of it with real processes and a real Consul: a leader that stands still is
// killed, and only when it is dead may another lead; so it goes in its next life.
func TestAFrozenLeaderIsDeposed(t *testing.T) {
	t.Parallel()
	client, volume := startConsul(t), t.TempDir()
	member := live(t, volume)
	lead(t, client, "patroni-1", session(t, client, "patroni-patroni-1"))
	stop(t, member.first)
	stop(t, member.postgres)
	run(t, &fence.Fence{
		Lock: fence.NewLock(volume), Member: silent(t), Heartbeat: still{}, Task: processes{member},
		Sessions: fence.ConsulSessions{Client: client, Scope: "patroni", Member: "patroni-1"},
	})
	deposed := func(what string) {
		t.Helper()
		waittest.EventuallyNil(t, what+" is deposed", func(context.Context) error {
			if leader(t, client) != "" {
				return errors.New(what + " still leads")
			}
			return nil
		})
	}
	deposed("the frozen leader")

	next := live(t, volume)
	lead(t, client, "patroni-1", session(t, client, "patroni-patroni-1"))
	awaited(t, volume)
	kill(next.first)
	kill(next.postgres)
	deposed("the dead leader")
}

// sessions are a Consul's as the test wants it.
type sessions struct {
	leads  bool
	err    error
	called chan struct{}
}

func (s sessions) Release(context.Context) (int, error) { return 0, s.err }

func (s sessions) Leads(context.Context) (bool, error) {
	s.called <- struct{}{}
	return s.leads, s.err
}

type unkillable struct{ t *testing.T }

func (u unkillable) Kill(context.Context) error {
	u.t.Error("a member was killed that is no leader for certain")
	return nil
}

// still has no new heartbeat.
type still struct{}

func (still) Last() (time.Time, error) { return time.Unix(1, 0), nil }

// heartbeat is new whenever it is read, or cannot be read.
type heartbeat struct {
	file   fence.HeartbeatFile
	err    error
	called chan struct{}
}

func (h heartbeat) Last() (time.Time, error) {
	select {
	case h.called <- struct{}{}:
	default: // nobody waits for it
	}
	if now := time.Now(); h.err == nil {
		h.err = os.Chtimes(string(h.file), now, now)
	}
	last, err := h.file.Last()
	return last, errors.Join(h.err, err)
}

func TestASlowLeaderIsNotKilled(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"heartbeats come": nil, "heartbeats cannot be read": errors.New("away")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			live(t, volume)
			beating := heartbeat{fence.HeartbeatFile(filepath.Join(volume, "alive")), err, make(chan struct{})}
			if err := os.WriteFile(string(beating.file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, &fence.Fence{Lock: fence.NewLock(volume), Member: silent(t), Heartbeat: beating, Sessions: sessions{leads: true}, Task: unkillable{t}})
			for range 6 {
				came(t, "a reading of the heartbeat", beating.called)
			}
		})
	}
}

func TestASilentMemberIsNotKilled(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]sessions{
		"when it does not lead":              {called: make(chan struct{})},
		"when Consul does not say who leads": {leads: true, err: errors.New("away"), called: make(chan struct{})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := t.TempDir()
			live(t, volume)
			run(t, &fence.Fence{Lock: fence.NewLock(volume), Member: silent(t), Heartbeat: still{}, Sessions: s, Task: unkillable{t}})
			for range 2 {
				came(t, "the question who leads", s.called)
			}
		})
	}
}
