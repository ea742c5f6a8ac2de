package coordinator

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// leases are the attempts that this instance has in hand. They are renewed
// together; most attempts are over before they need to be. One that makes no
// progress is not renewed: its call may hang, and another instance, with
// connections of its own, may get through.
type leases struct {
	mu   sync.Mutex
	held map[string]lease
}

type lease struct {
	since    time.Time // when it came into hand
	progress time.Time // when it was last answered: by the store at all, by a participant with what is certain
}

func newLeases() *leases { return &leases{held: map[string]lease{}} }

func (l *leases) hold(gid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.held[gid] = lease{since: now, progress: now}
}

// progress notes that a call about an attempt was answered.
func (l *leases) progress(gid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one, ok := l.held[gid]; ok {
		one.progress = time.Now()
		l.held[gid] = one
	}
}

func (l *leases) holds(gid string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.held[gid]
	return ok
}

func (l *leases) drop(gids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, gid := range gids {
		delete(l.held, gid)
	}
}

// due returns the attempts in hand for at least age, and how many of those are
// left out because they have made no progress for stall.
func (l *leases) due(age, stall time.Duration) (gids []string, stalled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for gid, one := range l.held {
		switch {
		case time.Since(one.since) < age:
		case time.Since(one.progress) >= stall:
			stalled++
		default:
			gids = append(gids, gid)
		}
	}
	return gids, stalled
}

// all returns every attempt in hand.
func (l *leases) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.held))
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}
