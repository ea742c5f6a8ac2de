package participanthttp

import (
	"context"
	"net/http"
	"time"

	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
)

// Asker asks the coordinator behind client what it decided.
type Asker struct{ client *call.Client }

var _ participant.Asker = Asker{}

// NewAsker makes the asker over client.
func NewAsker(client *call.Client) Asker { return Asker{client} }

// verdict is the coordinator's answer.
type verdict struct {
	Decision string    `json:"decision"`
	Branches []string  `json:"branches"`
	Deadline time.Time `json:"deadline"`
}

// Ask implements participant.Asker over POST /internal/transactions/{gid}/ask.
func (a Asker) Ask(ctx context.Context, gid, name string) (participant.Verdict, error) {
	in := struct {
		Branch string `json:"branch"`
	}{name}
	var out verdict
	if err := a.client.Do(ctx, http.MethodPost, "/internal/transactions/"+gid+"/ask", in, &out); err != nil {
		return participant.Verdict{}, err
	}
	return out.read()
}

// read accepts nothing but a whole answer. One that is empty, or that comes
// from something else at the coordinator's address, decides nothing.
func (v verdict) read() (participant.Verdict, error) {
	d := participant.Decision(v.Decision)
	switch d {
	case participant.DecidedCommit, participant.DecidedAbort, participant.Undecided:
		if !v.Deadline.IsZero() {
			return participant.Verdict{Decision: d, Branches: v.Branches, Deadline: v.Deadline}, nil
		}
	}
	return participant.Verdict{}, fault.New(fault.OutcomeUnknown, "the coordinator gave an unreadable answer")
}
