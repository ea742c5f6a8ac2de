package saga

import (
	"testing"
	"time"

	"bookstore/services/platform/fault"
)

// A step is refused by what decides, and asked for again after anything else.
func TestAStepIsRefusedByWhatDecides(t *testing.T) {
	for _, kind := range fault.Kinds() {
		err, want := fault.New(kind, ""), StepUnknown
		if fault.Decides(err) {
			want = StepRefused
		}
		if got := event(Do, "step", err, time.Now()).Kind; got != want {
			t.Errorf("%s: got %s, want %s", kind, got, want)
		}
		if got := event(Undo, "step", err, time.Now()).Kind; got != UndoFailed {
			t.Errorf("%s ended an undo as %s", kind, got)
		}
	}
}
