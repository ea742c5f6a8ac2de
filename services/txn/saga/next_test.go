package saga

import (
	"testing"
	"time"

	"bookstore/services/platform/fault"
)

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// trip has every kind of step: one that can be undone, an approval, one with
// nothing to undo, a pivot that can be undone, one after it.
var trip = Define("trip",
	StepOf[tripData]{Name: "reserve", At: "a", Undo: true, Send: sendName},
	StepOf[tripData]{Name: "approval", When: func(d tripData) bool { return d.Approval }},
	StepOf[tripData]{Name: "inspect", At: "b", Send: sendName},
	StepOf[tripData]{Name: "pay", At: "b", Undo: true, Pivot: true, Send: sendName},
	StepOf[tripData]{Name: "ticket", At: "c", Undo: true, Send: sendName},
)

// gift has a pivot that leaves no way back.
var gift = Define("gift",
	StepOf[tripData]{Name: "wrap", At: "a", Undo: true, Send: sendName},
	StepOf[tripData]{Name: "give", At: "b", Pivot: true, Send: sendName},
	StepOf[tripData]{Name: "thank", At: "c", Send: sendName},
)

type tripData struct {
	Name     string `json:"name"`
	Approval bool   `json:"approval"`
}

func sendName(d tripData) any { return d.Name }

func begun(t *testing.T, d Definition, approval bool) Saga {
	t.Helper()
	s, err := d.begin(Request{Data: tripData{"x", approval}, Time: time.Hour}, "1", start)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// follow plays events given as "step:kind" or "kind" and returns where it ends.
func follow(t *testing.T, d Definition, s Saga, events ...Event) Saga {
	t.Helper()
	for _, e := range events {
		e.At = start
		next, ok := d.Next(s, e)
		if !ok {
			t.Fatalf("%s of %q means nothing to a saga that is %s: %+v", e.Kind, e.Step, s.State, s.Steps)
		}
		s = next
	}
	return s
}

func done(step string) Event   { return Event{Kind: StepDone, Step: step} }
func undone(step string) Event { return Event{Kind: StepUndone, Step: step} }
func refused(step string) Event {
	return Event{Kind: StepRefused, Step: step, Cause: &Cause{Code: "refused"}}
}

func lost(step string) Event {
	return Event{Kind: StepUnknown, Step: step, Cause: &Cause{Code: "unavailable"}}
}

var (
	cancel  = Event{Kind: CancelAsked}
	expired = Event{Kind: DeadlinePassed}
	approve = Event{Kind: Approved}
)

func TestWhatBecomesOfASaga(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		of       Definition
		approval bool
		events   []Event
		state    State
		due      Op
		step     string
	}{
		{"new", trip, false, nil, Running, Do, "reserve"},
		{"one step", trip, false, []Event{done("reserve")}, Running, Do, "inspect"},
		{"waits", trip, true, []Event{done("reserve")}, WaitingApproval, Wait, ""},
		{"approved", trip, true, []Event{done("reserve"), approve}, Running, Do, "inspect"},
		{"all", trip, true, []Event{done("reserve"), approve, done("inspect"), done("pay"), done("ticket")}, Completed, Nothing, ""},
		{"refused at once", trip, false, []Event{refused("reserve")}, Failed, Nothing, ""},
		{"refused later", trip, false, []Event{done("reserve"), refused("inspect")}, Compensating, Undo, "reserve"},
		{"and undone", trip, false, []Event{done("reserve"), refused("inspect"), undone("reserve")}, Failed, Nothing, ""},
		{"cancelled in doubt", trip, false, []Event{lost("reserve"), cancel}, Compensating, Undo, "reserve"},
		{"cancelled while waiting", trip, true, []Event{done("reserve"), cancel, undone("reserve")}, Cancelled, Nothing, ""},
		{"expired while waiting", trip, true, []Event{done("reserve"), expired, undone("reserve")}, Failed, Nothing, ""},
		{"the pivot refused", trip, false, []Event{done("reserve"), done("inspect"), refused("pay")}, Compensating, Undo, "reserve"},
		{"refused after the pivot", trip, false, []Event{done("reserve"), done("inspect"), done("pay"), refused("ticket")}, Compensating, Undo, "pay"},
		{"and all the way back", trip, false, []Event{done("reserve"), done("inspect"), done("pay"), refused("ticket"), undone("pay"), undone("reserve")}, Failed, Nothing, ""},
		{"no way back", gift, false, []Event{done("wrap"), done("give"), refused("thank")}, Stuck, Wait, "thank"},
		{"and on", gift, false, []Event{done("wrap"), done("give"), refused("thank"), done("thank")}, Completed, Nothing, ""},
	} {
		s := follow(t, c.of, begun(t, c.of, c.approval), c.events...)
		due := c.of.Due(s, start)
		if s.State != c.state || due.Op != c.due || due.Step != c.step {
			t.Errorf("%s: %s, then %s %q; want %s, %s %q", c.name, s.State, due.Op, due.Step, c.state, c.due, c.step)
		}
		if s.State.Final() != !s.FinishedAt.IsZero() {
			t.Errorf("%s: %s, finished at %v", c.name, s.State, s.FinishedAt)
		}
	}
}

func TestEventsThatMeanNothingChangeNothing(t *testing.T) {
	t.Parallel()
	captured := follow(t, trip, begun(t, trip, false), done("reserve"), done("inspect"))
	if _, ok := trip.Next(captured, cancel); ok {
		t.Error("cancelled although the pivot has been started")
	}
	if _, ok := trip.Next(captured, expired); ok {
		t.Error("expired although the pivot has been started")
	}
	if err := trip.CannotCancel(captured); fault.KindOf(err) != PastPivot {
		t.Errorf("said %v", err)
	}
	over := follow(t, trip, begun(t, trip, false), refused("reserve"))
	for _, kind := range EventKinds() {
		for _, step := range []string{"reserve", "inspect", "pay", "ticket"} {
			if _, ok := trip.Next(over, Event{Kind: kind, Step: step}); ok {
				t.Errorf("%s of %s moved a saga that is over", kind, step)
			}
		}
	}
	undoing := follow(t, trip, begun(t, trip, false), done("reserve"), cancel)
	for _, e := range []Event{done("reserve"), done("inspect"), refused("inspect"), approve, cancel, expired, undone("inspect")} {
		if _, ok := trip.Next(undoing, e); ok {
			t.Errorf("%s of %q moved a saga that is being undone", e.Kind, e.Step)
		}
	}
}

func TestWhatHasToSucceedBecomesStuckAndIsTriedOn(t *testing.T) {
	t.Parallel()
	s := follow(t, trip, begun(t, trip, false), done("reserve"), cancel)
	for range patience {
		s = follow(t, trip, s, Event{Kind: UndoFailed, Step: "reserve"})
	}
	if due := trip.Due(s, start); s.State != Stuck || due.Op != Wait || due.At != start.Add(time.Minute) {
		t.Errorf("%s, due %+v", s.State, due)
	}
	if due := trip.Due(s, start.Add(time.Hour)); due.Op != Undo || due.Step != "reserve" {
		t.Errorf("due %+v", due)
	}
	if s = follow(t, trip, s, undone("reserve")); s.State != Cancelled {
		t.Errorf("ended %s", s.State)
	}
	// Before the pivot nothing has to succeed: the deadline ends it.
	s = begun(t, trip, false)
	for range 2 * patience {
		s = follow(t, trip, s, lost("reserve"))
	}
	if due := trip.Due(s, start.Add(2*time.Hour)); s.State != Running || due.Op != Expire {
		t.Errorf("%s, due %+v", s.State, due)
	}
}

func TestTriesComeEverMoreSlowlyAndNeverAfterTheDeadline(t *testing.T) {
	t.Parallel()
	s, before := begun(t, trip, false), time.Duration(0)
	for range 12 {
		s = follow(t, trip, s, lost("reserve"))
		wait := trip.Due(s, start).At.Sub(start)
		if wait < before || wait > 15*time.Second {
			t.Errorf("after %d failures a wait of %v", s.Failures, wait)
		}
		before = wait
	}
	s.Deadline = start.Add(time.Second)
	if due := trip.Due(s, start); due.At != s.Deadline {
		t.Errorf("due %+v", due)
	}
}

// A participant that may have deleted a step's marker says that it is lost (txn/participant): the saga neither ends nor loses the reason.
func TestAStepThatIsLostLeavesItsSagaStuck(t *testing.T) {
	t.Parallel()
	lost := fault.New(fault.Lost, "markers are kept for 60 days")
	s, _ := trip.Next(begun(t, trip, false), event(Do, "reserve", nil, start))
	s, ok := trip.Next(s, Event{Kind: CancelAsked, At: start})
	if !ok || s.State != Compensating {
		t.Fatalf("the saga is %s", s.State)
	}
	for range 2 * patience {
		if s, ok = trip.Next(s, event(Undo, "reserve", lost, start)); !ok {
			t.Fatal("the answer means nothing")
		}
	}
	step := s.Steps[0]
	if s.State != Stuck || step.State != Undoing || step.Error == nil || step.Error.Code != "branch_lost" || step.Error.Message != lost.Message {
		t.Errorf("the saga is %s, its step %+v", s.State, step)
	}
	if e := event(Do, "reserve", lost, start); e.Kind != StepUnknown {
		t.Errorf("a do that is lost counts as %s", e.Kind)
	}
}

// Another coordinator's reading of the clock may be a little ahead.
func TestAStepThatHasNotFailedIsDueAtOnce(t *testing.T) {
	t.Parallel()
	if due := trip.Due(begun(t, trip, false), start.Add(-time.Millisecond)); due.Op != Do || due.Step != "reserve" {
		t.Errorf("got %+v", due)
	}
}

// A step is refused by what decides, and called again after anything else.
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
