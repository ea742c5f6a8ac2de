package coordinator

import (
	"sync"
	"time"
)

// leases are the attempts that this instance has in hand. They are renewed
// together; most attempts are over before they need to be.
type leases struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func newLeases() *leases { return &leases{since: map[string]time.Time{}} }

func (l *leases) hold(gid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since[gid] = time.Now()
}

func (l *leases) drop(gids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, gid := range gids {
		delete(l.since, gid)
	}
}

// held returns the attempts in hand for at least age.
func (l *leases) held(age time.Duration) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gids []string
	for gid, since := range l.since {
		if time.Since(since) >= age {
			gids = append(gids, gid)
		}
	}
	return gids
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.since)
}
