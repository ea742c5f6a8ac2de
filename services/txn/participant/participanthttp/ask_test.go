package participanthttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
)

// asker asks a coordinator that gives always the same answer.
func asker(t testing.TB, status int, answer string) (participanthttp.Asker, *http.Request) {
	t.Helper()
	seen := &http.Request{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"branch":"words"}` {
			t.Errorf("asked %s, %v", body, err)
		}
		*seen = *r
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	client := call.New(server.URL, call.Options{Destination: "coordinator"})
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return participanthttp.NewAsker(client), seen
}

func TestTheCoordinatorsAnswer(t *testing.T) {
	t.Parallel()
	const rest = `,"branches":["words","other"],"deadline":"2026-01-02T03:04:05.678901Z"}`
	for _, d := range []participant.Decision{participant.DecidedCommit, participant.DecidedAbort, participant.Undecided} {
		a, seen := asker(t, http.StatusOK, `{"decision":"`+string(d)+`"`+rest)
		v, err := a.Ask(t.Context(), "g1", "words")
		if err != nil || v.Decision != d || !slices.Equal(v.Branches, []string{"words", "other"}) || v.Deadline.Nanosecond() != 678901000 {
			t.Errorf("%s: read as %+v, %v", d, v, err)
		}
		if seen.Method != http.MethodPost || seen.URL.Path != "/internal/transactions/g1/ask" {
			t.Errorf("asked %s %s", seen.Method, seen.URL)
		}
	}
}

func TestWhatIsNoAnswerDecidesNothing(t *testing.T) {
	t.Parallel()
	for _, answer := range []struct {
		status int
		text   string
	}{
		{200, ``}, {200, `{}`}, {200, `null`}, {200, `<html>`},
		{200, `{"decision":"abort"}`}, {200, `{"decision":"aborted","deadline":"2026-01-02T03:04:05Z"}`},
		{204, ``}, {301, ``}, {404, `{"code":"not_found"}`}, {404, `{"code":"transaction_not_found"}`}, {503, `no healthy upstream`},
	} {
		a, _ := asker(t, answer.status, answer.text)
		if v, err := a.Ask(context.Background(), "g1", "words"); err == nil {
			t.Errorf("%d %s: read as %+v", answer.status, answer.text, v)
		}
	}
}

// Whatever bytes come back: an answer is one of three, with a deadline, or none.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"decision":"commit","branches":["words"],"deadline":"2026-01-02T03:04:05Z"}`)
	f.Add(`{"decision":"pending","branches":null,"deadline":"0001-01-01T00:00:00Z"}`)
	f.Add(`{"DECISION":"abort","decision":"commit","deadline":"2026-01-02T03:04:05+14:00"}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		a, _ := asker(t, http.StatusOK, text)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		v, err := a.Ask(ctx, "g1", "words")
		switch {
		case err != nil && fault.Unknown(err):
		case err != nil:
			t.Errorf("%q became a refusal: %v", text, err)
		case v.Deadline.IsZero() || (v.Decision != participant.DecidedCommit && v.Decision != participant.DecidedAbort && v.Decision != participant.Undecided):
			t.Errorf("%q was read as %+v", text, v)
		}
	})
}
