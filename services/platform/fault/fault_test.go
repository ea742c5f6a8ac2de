package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bookstore/services/platform/fault"
)

func TestKindsRoundTripThroughProblems(t *testing.T) {
	for _, kind := range fault.Kinds() {
		if got := fault.FromProblem(kind.Status(), kind.Code()); got != kind {
			t.Errorf("%s became %s on its way through a problem", kind, got)
		}
		if kind.Title() == "" {
			t.Errorf("%s has no title", kind)
		}
	}
}

func TestAnswersWithoutAKnownCodeAreJudgedByStatus(t *testing.T) {
	cases := map[int]fault.Kind{
		400: fault.MalformedRequest, 403: fault.Forbidden, 404: fault.NotFound,
		409: fault.OutcomeUnknown, 418: fault.OutcomeUnknown, 500: fault.Internal,
		502: fault.OutcomeUnknown, 503: fault.Unavailable, 504: fault.DeadlineExceeded,
	}
	for status, want := range cases {
		if got := fault.FromProblem(status, ""); got != want {
			t.Errorf("%d: got %s, want %s", status, got, want)
		}
	}
}

func TestEveryErrorIsEitherRefusedOrUnknown(t *testing.T) {
	for _, kind := range fault.Kinds() {
		err := fault.New(kind, "")
		if fault.Refused(err) == fault.Unknown(err) {
			t.Errorf("%s is refused and unknown alike", kind)
		}
	}
	if fault.Refused(nil) || fault.Unknown(nil) {
		t.Error("success taken for a failure")
	}
	if !fault.Unknown(errors.New("broken pipe")) {
		t.Error("a plain error is not a decision")
	}
	if !fault.Unknown(fault.New(fault.Unavailable, "")) {
		t.Error("unavailable decides nothing")
	}
}

func TestWrapKeepsWhatTheClientIsShown(t *testing.T) {
	cause := errors.New("disk")
	inner := &fault.Error{
		Kind: fault.VersionMismatch, Message: "2 left", Details: map[string]any{"left": 2},
		RetryAfter: time.Second, Err: cause,
	}
	err := fault.Wrap("place", fmt.Errorf("reserve: %w", inner))
	got := fault.As(err)
	if got.Kind != fault.VersionMismatch || got.Message != "2 left" || got.Details["left"] != 2 || got.RetryAfter != time.Second {
		t.Errorf("lost on the way: %+v", got)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if want := "place: reserve: version_mismatch: 2 left: disk"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if fault.Wrap("nothing", nil) != nil {
		t.Error("Wrap of nil must be nil")
	}
}

func TestKindOfContextErrors(t *testing.T) {
	if k := fault.KindOf(fmt.Errorf("query: %w", context.DeadlineExceeded)); k != fault.DeadlineExceeded {
		t.Errorf("deadline is %s", k)
	}
	if k := fault.KindOf(context.Canceled); k != fault.Unavailable {
		t.Errorf("cancel is %s", k)
	}
}

func TestInvalidNamesEveryField(t *testing.T) {
	err := fault.Invalid(fault.Field{Field: "title", Code: "required"}, fault.Field{Field: "serial", Code: "check_digit"})
	if err.Kind != fault.InvalidField || len(err.Fields) != 2 || err.Message != "invalid: title, serial" {
		t.Errorf("got %+v", err)
	}
}

// An id above 2^53 comes out of a problem as it went in.
func TestNumbersInDetailsStayAsTheyWereWritten(t *testing.T) {
	const things = `[{"available":0,"thingId":9007199254740993},{"available":1,"thingId":9223372036854775807}]`
	f := fault.ReadProblem(412, []byte(`{"type":"t","title":"t","status":412,"code":"version_mismatch","requestId":"r","detail":"none left","things":`+things+`}`))
	if f.Kind != fault.VersionMismatch || f.Message != "none left" || len(f.Details) != 1 {
		t.Fatalf("got %+v", f)
	}
	text, err := json.Marshal(f.Details)
	if err != nil || !strings.Contains(string(text), things) {
		t.Errorf("got %s, %v", text, err)
	}
	var again fault.Details
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(again); err != nil || !strings.Contains(string(text), things) {
		t.Errorf("read once more: %s, %v", text, err)
	}
}

func TestWhatIsNoProblemIsJudgedByItsStatus(t *testing.T) {
	for _, body := range []string{"", "no healthy upstream", "[]", `"x"`, `{"code":1}`} {
		if f := fault.ReadProblem(503, []byte(body)); f.Kind != fault.Unavailable || len(f.Details) != 0 {
			t.Errorf("%q: got %+v", body, f)
		}
	}
}
