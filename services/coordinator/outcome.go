package coordinator

import (
	"encoding/json"
	"net/http"

	"bookstore/services/platform/fault"
)

// Result is a success, as it is answered.
type Result struct {
	Status   int
	Body     []byte
	Location string // "" has none
	Replayed bool   // set for refusals too, beside the error
}

// refusal is how a definite "no" is kept.
type refusal struct {
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Fields  []fault.Field `json:"fields,omitempty"`
	Details fault.Details `json:"details,omitempty"`
}

func success(status int, o Order) (*Outcome, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return nil, fault.Wrap("encode order", err)
	}
	return &Outcome{Status: status, Body: body}, nil
}

func refused(err error) *Outcome {
	f := fault.As(err)
	kept := refusal{Code: f.Kind.Code(), Message: f.Message, Fields: f.Fields, Details: f.Details}
	body, err := json.Marshal(kept)
	if err != nil {
		panic("coordinator: a refusal that came as JSON does not encode: " + err.Error())
	}
	return &Outcome{Status: f.Kind.Status(), Body: body}
}

// answer is what a stored outcome says, to the first who asks and to all
// later ones.
func (o Outcome) answer(p Payload) (Result, error) {
	if o.Status < http.StatusBadRequest {
		r := Result{Status: o.Status, Body: o.Body}
		if o.Status == http.StatusCreated {
			r.Location = "/orders/" + p.OrderID
		}
		return r, nil
	}
	var r refusal
	if err := json.Unmarshal(o.Body, &r); err != nil {
		return Result{}, fault.Wrap("read the stored outcome", err)
	}
	return Result{}, &fault.Error{
		Kind:    fault.FromProblem(o.Status, r.Code),
		Message: r.Message, Fields: r.Fields, Details: r.Details,
	}
}
