package coherence

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// registryPatience bounds a call to the registry.
	registryPatience = 250 * time.Millisecond
	// popWait and popMost bound one pop: it ends before the client's own
	// time-out, and takes no more than is applied at once.
	popWait = 300 * time.Millisecond
	popMost = 64
	// listLife is how long an inbox or a list of confirmations stays.
	listLife = 5 * time.Second
)

// Everything of the registry is in one slot, and so in one shard.
const registryKey = "{near}:registry"

func inboxKey(session string) string { return "{near}:inbox:" + session }

func replyKey(announcement string) string { return "{near}:reply:" + announcement }

// callRegistry runs a script on the registry, within registryPatience.
func callRegistry(ctx context.Context, c *goredis.ClusterClient, script *goredis.Script, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	reply, err := script.Run(ctx, c, []string{registryKey}, args...).Result()
	if err != nil {
		c.ReloadState(ctx)
	}
	return reply, err
}

// pop takes the elements of a list, or waits for the first one. When its answer is lost, what it took is lost: nobody
// confirms it then.
func pop(ctx context.Context, c *goredis.ClusterClient, list string, wait time.Duration) ([]string, error) {
	wait = max(time.Millisecond, min(wait, popWait))
	ctx, cancel := context.WithTimeout(ctx, wait+registryPatience)
	defer cancel()
	reply, err := c.Do(ctx, "blmpop", wait.Seconds(), 1, list, "left", "count", popMost).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		c.ReloadState(ctx)
		return nil, err
	}
	pair, _ := reply.([]any)
	if len(pair) != 2 {
		return nil, errReply
	}
	values, _ := pair[1].([]any)
	taken := make([]string, len(values))
	for i, value := range values {
		taken[i], _ = value.(string)
	}
	return taken, nil
}

// confirmWithin is how long a session has to confirm before its lease may no longer be renewed.
const confirmWithin = 200 * time.Millisecond

// errReply: a script's reply has an unexpected form.
var errReply = errors.New("the registry's answer cannot be read")

// waiting waits for the sessions of an announcement: each confirms, or its lease ends.
type waiting struct {
	announcer *Announcer
	reply     string               // the list of confirmations
	registry  string               // the incarnation that knows the open sessions
	open      map[string]time.Time // each session's end; zero: its lease may be renewed
	revokeAt  time.Time
	lapsed    bool
}

// read decodes the reply of publish. A registry that is younger than a lease may not know all sessions; one session
// without a name, which cannot confirm, stands for them.
func (w *waiting) read(reply any) error {
	values, _ := reply.([]any)
	if len(values)%3 != 2 {
		return errReply
	}
	w.registry, _ = values[0].(string)
	now := time.Now()
	w.open = map[string]time.Time{}
	if young, _ := values[1].(int64); young > 0 {
		w.open[""] = now.Add(milliseconds(young))
	}
	for values = values[2:]; len(values) > 0; values = values[3:] {
		session, _ := values[0].(string)
		left, _ := values[1].(int64)
		w.open[session] = time.Time{}
		if revoked, _ := values[2].(int64); revoked == 1 {
			w.open[session] = now.Add(milliseconds(left))
		}
	}
	return nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// all waits until no session is open. An error leaves that unknown.
func (w *waiting) all(ctx context.Context) error {
	for {
		next := w.next(time.Now())
		if len(w.open) == 0 {
			return nil
		}
		if next <= 0 {
			if err := w.revoke(ctx); err != nil {
				return err
			}
			continue
		}
		confirmed, err := pop(ctx, w.announcer.redis.Cluster(), w.reply, next)
		if err != nil {
			return err
		}
		for _, session := range confirmed {
			delete(w.open, session)
		}
	}
}

// next drops the sessions whose leases have ended, and returns the time until the next action; 0 or less when leases
// are to be revoked now.
func (w *waiting) next(now time.Time) time.Duration {
	next := lease
	for session, end := range w.open {
		switch {
		case end.IsZero():
			next = min(next, w.revokeAt.Sub(now))
		case !now.Before(end):
			delete(w.open, session)
		default:
			next = min(next, end.Sub(now))
		}
	}
	return next
}

// revoke forbids the renewal of the leases of sessions that have not confirmed, and learns when these end.
func (w *waiting) revoke(ctx context.Context) error {
	var late []string
	args := []any{w.registry}
	for session, end := range w.open {
		if end.IsZero() {
			late, args = append(late, session), append(args, session)
		}
	}
	reply, err := w.announcer.call(ctx, revokeScript, args...)
	if err != nil {
		return err
	}
	left, _ := reply.([]any)
	if len(left) != len(late) {
		return errReply
	}
	w.lapsed = true
	now := time.Now()
	for i, session := range late {
		n, _ := left[i].(int64)
		w.open[session] = now.Add(milliseconds(n))
	}
	return nil
}
