package twophase

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/wait"
)

const gidLength = 32

var validGID = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

// GID names an attempt: 32 hexadecimal digits derived from whose key it is,
// the key, and the number of the attempt, so that whoever repeats the request
// computes the same name. Each part is preceded by its length, so that no two
// different triples have the same hash input.
func GID(caller, key string, attempt int) string {
	h := sha256.New()
	for _, part := range []string{caller, key, strconv.Itoa(attempt)} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:gidLength]
}

// IsGID tells whether text could name a transaction.
func IsGID(text string) bool { return validGID.MatchString(text) }

// HashRequest tells two requests under one Idempotency-Key apart. It is taken
// over what the request means (kind and decoded fields), not over its bytes:
// white space and the order of members do not make another request.
//
// This is version 1 of the hash. Stored hashes are compared with those of
// requests repeated up to 24 hours later, to coordinators that may be newer: a
// body that was valid before must keep its hash. So a new member of a request
// goes behind the others, with omitempty. A version 2 would have to be longer
// than 32 bytes, and ActionFor would have to compare each hash by its version.
func HashRequest(kind Kind, request any) []byte {
	body, err := json.Marshal(request)
	if err != nil {
		panic("twophase: a request that was decoded from JSON does not encode: " + err.Error())
	}
	sum := sha256.Sum256(append([]byte(string(kind)+"\n"), body...))
	return sum[:]
}

// Action is what a request does about an attempt it finds under its key.
type Action string

// The actions.
const (
	ActAttempt  Action = "attempt"   // begin a new attempt
	ActReplay   Action = "replay"    // answer with the outcome that stands
	ActReused   Action = "reused"    // refuse: the key belongs to another request
	ActWait     Action = "wait"      // it is running: poll again
	ActTakeOver Action = "take_over" // its owner is gone: drive it to its end, then poll again
	ActRefuse   Action = "refuse"    // it ended in a heuristic outcome, which only operators can resolve
)

// ActionFor decides what a request with this hash does about the latest attempt
// under its key. A commit is replayed only when it is finished: the answer
// promises that what was committed can be read.
func ActionFor(l Latest, requestHash []byte) Action {
	unfinished := l.State == Preparing || l.State == Committing
	switch {
	case l.Expired && !unfinished:
		return ActAttempt
	case !bytes.Equal(l.RequestHash, requestHash):
		return ActReused
	case unfinished && l.Lapsed:
		return ActTakeOver
	case unfinished:
		return ActWait
	case l.State == Heuristic:
		return ActRefuse
	case l.Outcome != nil:
		return ActReplay
	}
	return ActAttempt
}

// findEarlier returns the outcome that is bound to a request's key, or nil and the
// attempt to claim next. While another request with the same key is running it
// waits for that one, until ctx ends. n is the attempt to claim if there is none;
// refused tells that it was tried, and was taken.
func (e *Engine) findEarlier(ctx context.Context, c Claim, n int, refused bool) (earlier *Latest, next int, err error) {
	for waits := 0; ; waits++ {
		latest, err := e.Store.Latest(ctx, c.Caller, c.Key)
		switch {
		case err != nil && waits > 0 && ctx.Err() != nil:
			return nil, 0, stillRunning() // the deadline passed during the wait
		case err != nil:
			return nil, 0, err
		case latest == nil && !refused:
			return nil, n, nil
		case latest == nil:
			// Either the gid belongs to no request: a participant queried it
			// (recover.go), and the next attempt is free. Or its row has just been
			// pruned, and the first attempt is free.
			if n++; n > 2 {
				n = 1
			}
			return nil, n, e.await(ctx, waits, ActWait, "")
		}
		switch action := ActionFor(*latest, c.RequestHash); action {
		case ActAttempt:
			return nil, max(n, latest.Attempt) + 1, nil // past the one tried last, which may belong to no request
		case ActReplay:
			return latest, 0, nil
		case ActReused:
			return nil, 0, fault.New(fault.IdempotencyKeyReused, "this Idempotency-Key belongs to another request")
		case ActRefuse:
			return nil, 0, fault.New(fault.OutcomeUnknown, "the outcome of this request needs an operator")
		case ActTakeOver, ActWait:
			if waits == 0 {
				select {
				case e.waiting <- struct{}{}:
					defer func() { <-e.waiting }()
				default:
					return nil, 0, stillRunning()
				}
			}
			if err := e.await(ctx, waits, action, latest.GID); err != nil {
				return nil, 0, err
			}
		}
	}
}

// longestPoll is how many times PollEvery is doubled at most.
const longestPoll = 3

// await pauses before the next poll, longer with each. It first takes over an
// attempt whose owner's lease has lapsed.
func (e *Engine) await(ctx context.Context, waits int, action Action, gid string) error {
	if action == ActTakeOver {
		err := e.takeOver(ctx, gid)
		switch {
		case err != nil && ctx.Err() != nil:
			return stillRunning()
		case err != nil:
			return err
		}
	}
	if wait.For(ctx, e.settings.PollEvery<<min(waits, longestPoll)) {
		return nil
	}
	return stillRunning()
}

func stillRunning() error {
	return &fault.Error{
		Kind: fault.InProgress, RetryAfter: time.Second,
		Message: "a request with this Idempotency-Key is still running",
	}
}
