package txnsim

import (
	"context"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

// Client sends one request until the answer is definite, and then perhaps again.
type Client struct {
	Name string
	Key  string // clients with one key must be given the same answers; "" has none
	// Effect names what is done if the request succeeds: Scenario.Effect of a transaction,
	// EffectOf a saga's caller and key. "" is a request whose success says nothing.
	Effect string
	// Call sends the request to a coordinator, whose process handles it.
	Call func(ctx context.Context, n *Node) (body []byte, err error)
	// Succeeded is called with the first success, when it arrives; nil is not called.
	Succeeded func(body []byte)
	// Check reports what does not hold about an answer at the end of the run. id is of the
	// transaction or saga that had Effect, "" if none had.
	Check func(a Answer, id string)

	w       *World
	answers []Answer
	doubted bool // the last answer was that nobody knows
}

// Answer is a definite one.
type Answer struct {
	Kind    fault.Kind // of the refusal; "" is a success
	Message string
	Body    string
}

// EffectOf names what a request under a caller's key does.
func EffectOf(caller, key string) string { return caller + " " + key }

// patience is how many times a client sends its request before it gives up.
const patience = 60

// Ask sends a client's request until it is content with its answers.
func (w *World) Ask(c *Client) {
	c.w = w
	w.mu.Lock()
	w.clients = append(w.clients, c)
	w.mu.Unlock()
	for range patience {
		body, err := c.send()
		if !definite(err) {
			c.doubted = fault.KindOf(err) == fault.OutcomeUnknown
			if !w.Pass(w.Between(c.Name+" rests", 20*time.Millisecond, time.Second)) {
				return
			}
			continue
		}
		a := Answer{Body: string(body)}
		if err != nil {
			a = Answer{Kind: fault.KindOf(err), Message: fault.As(err).Message}
		} else if len(c.answers) == 0 && c.Succeeded != nil {
			c.Succeeded(body)
		}
		c.answers = append(c.answers, a)
		if len(c.answers) == 3 || w.Chance(c.Name+" is content", .4) {
			return
		}
		w.Pass(w.Between(c.Name+" asks again", 0, 2*time.Second))
	}
	if !c.doubted || len(w.meddled) == 0 {
		w.Breachf("%s asked %d times and had no answer", c.Name, patience)
	}
}

// definite tells whether an answer binds the key.
func definite(err error) bool {
	return err == nil || twophase.VoteOf(err) == twophase.No || fault.KindOf(err) == fault.IdempotencyKeyReused
}

// send sends the request to some coordinator, and gives up after a while, or when the
// coordinator dies. The coordinator goes on without its client.
func (c *Client) send() ([]byte, error) {
	w := c.w
	n := w.anyNode(c.Name)
	served := make(chan reply[[]byte], 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), w.Between(c.Name+" is served", 300*time.Millisecond, 8*time.Second))
		defer cancel()
		body, err := c.Call(ctx, n)
		if n.acts() {
			served <- reply[[]byte]{body, err}
		}
	}()
	limit := time.NewTimer(w.Between(c.Name+" waits", 200*time.Millisecond, 9*time.Second))
	defer limit.Stop()
	select {
	case a := <-served:
		w.Tellf("%s: %s answers %s %s", c.Name, n.Name, describe(a.err), a.value)
		return a.value, a.err
	case <-n.died:
	case <-limit.C:
	}
	return nil, gone()
}

// Saga returns a saga as the coordinators' database has it, if it has it.
func (w *World) Saga(d saga.Definition, id string) (saga.Saga, bool) {
	s, err := w.leader.sagas.get(d.Name, id)
	return s, err == nil
}

// Follow waits until a saga is over, as clients do that ask for it again and again; false
// at the end of the run.
func (w *World) Follow(d saga.Definition, id string) (saga.Saga, bool) {
	for w.Pass(200 * time.Millisecond) {
		if s, there := w.Saga(d, id); there && s.State.Final() {
			return s, true
		}
	}
	return saga.Saga{}, false
}
