// Package coordinatorcall reaches the services that take part in transactions
// over HTTP.
package coordinatorcall

import (
	"context"
	"net/http"
	"time"

	"bookstore/services/coordinator"
	"bookstore/services/platform/call"
)

// Participant is a service that holds a branch, reached through client.
type Participant struct{ client *call.Client }

var _ coordinator.Participant = Participant{}

// NewParticipant makes the participant behind client.
func NewParticipant(client *call.Client) Participant { return Participant{client} }

// message is the body of the calls; only prepare has a payload.
type message struct {
	Branch   string    `json:"branch"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
	Payload  any       `json:"payload,omitempty"`
}

// Prepare implements coordinator.Participant.
func (p Participant) Prepare(ctx context.Context, m coordinator.Message, payload any) error {
	return p.send(ctx, m, "prepare", payload)
}

// Commit implements coordinator.Participant.
func (p Participant) Commit(ctx context.Context, m coordinator.Message) error {
	return p.send(ctx, m, "commit", nil)
}

// Abort implements coordinator.Participant.
func (p Participant) Abort(ctx context.Context, m coordinator.Message) error {
	return p.send(ctx, m, "abort", nil)
}

func (p Participant) send(ctx context.Context, m coordinator.Message, op string, payload any) error {
	body := message{Branch: m.Branch, Branches: m.Branches, Deadline: m.Deadline, Payload: payload}
	return p.client.Do(ctx, http.MethodPost, "/internal/transactions/"+m.GID+"/"+op, body, nil)
}
