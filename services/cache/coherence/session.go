package coherence

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"
)

// renewEvery is short enough that a renewal may hang and another still succeed within the lease.
const renewEvery = 300 * time.Millisecond

var errEnded = errors.New("the lease was not renewed in time, or not everything was confirmed")

// session is a span of time in which a gateway holds its lease without a gap. It ends with the first error, because a
// message may have been lost with the answer.
type session struct {
	*Follower

	name    string
	renewed time.Time // before the last renewal was sent
	warned  bool      // about the end of the lease
}

// join starts a session. It empties the near tier after Redis knows the session and before the near tier answers:
// what was filled earlier may miss changes that were announced until then.
func (s *session) join(ctx context.Context) error {
	before := s.name
	s.name = s.instance + "-" + strconv.FormatUint(rand.Uint64(), 36)
	sent := time.Now()
	if _, err := callRegistry(ctx, s.redis.Cluster(), joinScript, s.name, lease.Milliseconds(), before); err != nil {
		return err
	}
	s.flush("joined")
	s.live(sent)
	s.warned = false
	s.log.Info("the near cache answers", "session", s.name)
	return nil
}

// live sets the end of a lease whose renewal was sent at sent.
func (s *session) live(sent time.Time) {
	s.renewed = sent
	s.until.Store(int64(sent.Add(lease - leaseMargin).Sub(s.born)))
}

// round renews the lease when it is due, and applies announcements until the next renewal.
func (s *session) round(ctx context.Context) error {
	if time.Since(s.renewed) >= renewEvery {
		if err := s.renew(ctx); err != nil {
			return err
		}
	}
	messages, err := pop(ctx, s.redis.Cluster(), inboxKey(s.name), renewEvery-time.Since(s.renewed))
	if err != nil {
		return err
	}
	return s.apply(ctx, messages)
}

func (s *session) renew(ctx context.Context) error {
	sent := time.Now()
	reply, err := callRegistry(ctx, s.redis.Cluster(), renewScript, s.name, lease.Milliseconds())
	if err != nil {
		return err
	}
	if renewed, _ := reply.(int64); renewed != 1 {
		return errEnded
	}
	s.live(sent)
	return nil
}

// apply applies announcements to the near tier, then confirms them.
func (s *session) apply(ctx context.Context, messages []string) error {
	if len(messages) == 0 {
		return nil
	}
	confirm := s.redis.Cluster().Pipeline()
	for _, text := range messages {
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return err
		}
		if m.Flush {
			s.flush("cleared")
		} else {
			s.near.Raise(m.Floors)
		}
		confirmScript.Eval(ctx, confirm, []string{replyKey(m.Reply)}, s.name, listLife.Milliseconds())
	}
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	_, err := confirm.Exec(ctx)
	return err
}

// lapse ends the session in this process. Redis learns of it from the next join, or by the lease's end.
func (s *session) lapse(ctx context.Context, err error) {
	if s.until.Swap(0) != 0 {
		s.flush("lapsed")
	}
	if err != nil && ctx.Err() == nil && !s.warned {
		s.warned = true
		s.log.Warn("the near cache answers nothing", "session", s.name, "error", err.Error())
	}
}

// leave removes the session from the registry, so that writers do not wait for its lease to end.
func (s *session) leave(ctx context.Context) {
	_, err := callRegistry(ctx, s.redis.Cluster(), leaveScript, s.name)
	if err != nil {
		s.log.Warn("the near cache's lease ends by itself", "error", err.Error())
	}
}
