package coordinatorcall

import (
	"context"
	"net/http"

	"bookstore/services/platform/call"
	"bookstore/services/txn/saga"
)

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
