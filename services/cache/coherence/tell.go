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

// message is what the sessions are told.
type message struct {
	Reply  string  `json:"r"` // the announcement, which is to be confirmed
	Flush  bool    `json:"x,omitempty"`
	Floors []Floor `json:"f,omitempty"`
}

// tell makes every near tier know. It tries again as long as one may be
// answering that the registry did not name. lapsed: a session that did not
// confirm was ended.
func (a *Announcer) tell(ctx context.Context, m message) (lapsed bool, err error) {
	for {
		err = errors.New("the registry of near tiers is away")
		if a.fuse.allow() {
			lapsed, err = a.try(ctx, m)
			a.fuse.done(err)
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

// try tells each session and waits until it has confirmed or ended.
func (a *Announcer) try(ctx context.Context, m message) (lapsed bool, err error) {
	m.Reply = strconv.FormatUint(rand.Uint64(), 36)
	text, err := json.Marshal(m)
	if err != nil {
		return false, fault.Wrap("encode an announcement", err)
	}
	w := waiting{announcer: a, reply: replyKey(m.Reply), revokeAt: time.Now().Add(confirmWithin)}
	told, err := a.ask(ctx, publishScript, text, lease.Milliseconds(), listLife.Milliseconds())
	if err != nil {
		return false, err
	}
	if err := w.read(told); err != nil {
		return false, err
	}
	err = w.all(ctx)
	return w.lapsed, err
}

// ask runs a script on the registry.
func (a *Announcer) ask(ctx context.Context, script *goredis.Script, args ...any) (any, error) {
	return askRegistry(ctx, a.redis.Cluster(), script, args...)
}

// outage is how long the registry has been away. Leases lapse from its
// beginning, not anew with each announcement.
type outage struct {
	mu          sync.Mutex
	since, last time.Time
}

// wait pauses after a failure. It reports false, without a pause, once the
// registry has been away for as long as a lease lasts.
func (o *outage) wait(ctx context.Context) bool {
	o.mu.Lock()
	now := time.Now()
	// What failed long ago says nothing about the time between.
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
