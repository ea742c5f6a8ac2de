// Package txnhttp is the coordinator's side of the wire: how it calls participants,
// and what it answers to participants and operators. Package participanthttp is the
// other side; ../PROTOCOL.md, "Messages", has the meanings.
package txnhttp

import (
	"context"
	"net/http"
	"time"

	"bookstore/services/platform/call"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

// Participant is a service that holds a branch, reached through client.
type Participant struct{ client *call.Client }

var _ twophase.Participant = Participant{}

// NewParticipant makes the participant behind client.
func NewParticipant(client *call.Client) Participant { return Participant{client} }

// message is the body of the calls; only prepare has a payload.
type message struct {
	Branch   string    `json:"branch"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
	Payload  any       `json:"payload,omitempty"`
}

// Prepare implements twophase.Participant.
func (p Participant) Prepare(ctx context.Context, m twophase.Message, payload any) error {
	return p.send(ctx, m, "prepare", payload)
}

// Commit implements twophase.Participant.
func (p Participant) Commit(ctx context.Context, m twophase.Message) error {
	return p.send(ctx, m, "commit", nil)
}

// Abort implements twophase.Participant.
func (p Participant) Abort(ctx context.Context, m twophase.Message) error {
	return p.send(ctx, m, "abort", nil)
}

func (p Participant) send(ctx context.Context, m twophase.Message, op string, payload any) error {
	body := message{Branch: m.Branch, Branches: m.Branches, Deadline: m.Deadline, Payload: payload}
	return p.client.Do(ctx, http.MethodPost, "/internal/transactions/"+m.GID+"/"+op, body, nil)
}

// Steps is a service that makes steps of sagas, reached through client.
type Steps struct{ client *call.Client }

var _ saga.Participant = Steps{}

// NewSteps makes the participant behind client.
func NewSteps(client *call.Client) Steps { return Steps{client} }

// Do implements saga.Participant.
func (s Steps) Do(ctx context.Context, c saga.Call, payload any) error {
	body := struct {
		Payload any `json:"payload"`
	}{payload}
	return s.send(ctx, c, "do", body)
}

// Undo implements saga.Participant.
func (s Steps) Undo(ctx context.Context, c saga.Call) error {
	return s.send(ctx, c, "undo", struct{}{})
}

func (s Steps) send(ctx context.Context, c saga.Call, op string, body any) error {
	return s.client.Do(ctx, http.MethodPost, "/internal/sagas/"+c.Saga+"/steps/"+c.Step+"/"+op, body, nil)
}
