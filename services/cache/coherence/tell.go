package coherence

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

// retryEvery is the pause between tries while the registry is away.
const retryEvery = 50 * time.Millisecond

// message is an announcement, as sent to the sessions.
type message struct {
	Reply  string  `json:"r"` // names the announcement in confirmations
	Flush  bool    `json:"x,omitempty"`
	Floors []Floor `json:"f,omitempty"`
}

// tell sends a message to every session and waits for all confirmations. It tries again for as long as the lease of a
// session may be live that the registry did not name. lapsed tells that a session did not confirm and its lease ended.
func (a *Announcer) tell(ctx context.Context, m message) (lapsed bool, err error) {
	for {
		err = errors.New("the registry of near tiers is away")
		if a.cutoff.allow() {
			lapsed, err = a.try(ctx, m)
			a.cutoff.done(err)
		}
		if err == nil {
			a.outage.end()
			return lapsed, nil
		}
		if !a.outage.wait(ctx) {
			return false, err
		}
	}
}

// try sends a message once, and waits until each session has confirmed or ended.
func (a *Announcer) try(ctx context.Context, m message) (lapsed bool, err error) {
	m.Reply = strconv.FormatUint(rand.Uint64(), 36)
	text, err := json.Marshal(m)
	if err != nil {
		return false, fault.Wrap("encode an announcement", err)
	}
	w := waiting{announcer: a, reply: replyKey(m.Reply), revokeAt: time.Now().Add(confirmWithin)}
	told, err := a.call(ctx, publishScript, text, lease.Milliseconds(), listLife.Milliseconds())
	if err != nil {
		return false, err
	}
	if err := w.read(told); err != nil {
		return false, err
	}
	err = w.all(ctx)
	return w.lapsed, err
}

// call runs a script on the registry.
func (a *Announcer) call(ctx context.Context, script *goredis.Script, args ...any) (any, error) {
	return callRegistry(ctx, a.redis.Cluster(), script, args...)
}

// outage is the time since the registry failed. All leases lapse within one lease of its start, so later announcements
// of the same outage need not wait again.
type outage struct {
	mu          sync.Mutex
	since, last time.Time
}

// wait pauses after a failure. It reports false, without a pause, once the outage has lasted for a lease.
func (o *outage) wait(ctx context.Context) bool {
	o.mu.Lock()
	now := time.Now()
	// A failure long ago says nothing about the time since: this is a new outage.
	if now.Sub(o.last) > 2*lease {
		o.since = now
	}
	o.last = now
	over := now.Sub(o.since) >= lease
	o.mu.Unlock()
	return !over && wait.For(ctx, retryEvery)
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = time.Time{}
}
