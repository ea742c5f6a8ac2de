package saga

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"bookstore/services/platform/fault"
)

// The simulation plays sagas over a network that loses, repeats, delays and
// reorders messages, with coordinators that die between any two steps of their
// work, on machines whose clocks are minutes apart, and asserts what sagas promise.
//
// SAGA_SEED=n plays one run again.

const simRuns = 4000

func TestSagasSurviveAnyInterleaving(t *testing.T) {
	t.Parallel()
	if text := os.Getenv("SAGA_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if err := simulate(seed, 0); err != nil {
			t.Error(err)
		}
		return
	}
	first := rand.Uint64N(1 << 40)
	for seed := first; seed < first+simRuns; seed++ {
		if err := simulate(seed, 0); err != nil {
			t.Fatalf("SAGA_SEED=%d: %v", seed, err)
		}
	}
}

// A simulation that finds nothing wrong in a broken participant proves nothing.
func TestTheSimulationNoticesWhatIsBroken(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]defect{
		"no tombstone": noTombstone, "done twice": noMarker, "a lost version check": noVersion, "called before stored": callFirst,
	} {
		found := false
		for seed := uint64(0); seed < simRuns && !found; seed++ {
			found = simulate(seed, broken) != nil
		}
		if !found {
			t.Errorf("%s: %d runs noticed nothing", name, simRuns)
		}
	}
}

type defect int

const (
	noTombstone defect = iota + 1 // an undo of what was never seen leaves nothing
	noMarker                      // a repeat is done again
	noVersion                     // a change is made whatever the row has become
	callFirst                     // the next call is made before the change is stored
)

// world is the state of a run.
type world struct {
	rng     *rand.Rand
	broken  defect
	d       Definition
	now     time.Time       // by the database's clock
	skews   []time.Duration // of the clocks of the coordinators' machines
	clocks  []reading       // of the database's clock, one for each coordinator
	row     Saga
	wake    time.Time
	drivers []*Saga // what each coordinator has in memory, nil: nothing
	inbox   []message
	markers map[string]StepState // at the participants, by step
	effects map[string]int       // done minus undone
	refuses map[string]bool
	early   bool // the saga was ended for its deadline before that
	pivoted bool // the pivot has been done at the participant, ever
}

// message is a call on its way; answers go back to the driver that made it, if
// it still has the version it called with.
type message struct {
	op      Op
	step    string
	driver  int
	version int64
}

func simulate(seed uint64, broken defect) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	d := trip
	if rng.IntN(3) == 0 {
		d = gift
	}
	row, err := d.begin(Request{Data: tripData{Approval: rng.IntN(2) == 0}, Time: time.Minute}, "1", start)
	if err != nil {
		return err
	}
	row.Version = 1
	w := &world{
		rng: rng, broken: broken, d: d, now: start, row: row, wake: start, drivers: make([]*Saga, 2),
		markers: map[string]StepState{}, effects: map[string]int{}, refuses: map[string]bool{},
	}
	for driver := range w.drivers {
		w.skews = append(w.skews, time.Duration(rng.IntN(21)-10)*time.Minute)
		w.clocks = append(w.clocks, reading{})
		w.readClock(driver)
	}
	for _, s := range d.steps {
		w.refuses[s.name] = rng.IntN(8) == 0 && (d.Name != gift.Name || s.name != "thank")
	}
	const chaotic, calm = 150, 4000
	for i := range chaotic + calm {
		w.act(i < chaotic)
		if err := w.check(); err != nil {
			return err
		}
		if i > chaotic && w.row.State.Final() && len(w.inbox) == 0 {
			return w.judge()
		}
	}
	return fmt.Errorf("no end: %s %+v", w.row.State, w.row.Steps)
}

// act lets one thing happen; in chaos, also what must not matter.
func (w *world) act(chaos bool) {
	driver := w.rng.IntN(len(w.drivers))
	switch n := w.rng.IntN(10); {
	case n < 3:
		w.claim(driver)
	case n < 8:
		w.deliver(chaos)
	case n == 8:
		w.now = w.now.Add(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
		if chaos && w.rng.IntN(4) == 0 {
			w.drivers[driver] = nil // killed
		}
		w.readClock(driver)
		if chaos && w.rng.IntN(20) == 0 {
			w.now = w.now.Add(time.Minute)
		}
	default:
		if kinds := []EventKind{Approved, CancelAsked}; w.rng.IntN(6) == 0 || !chaos {
			kind := kinds[w.rng.IntN(2)]
			if !chaos {
				kind = Approved
			}
			if next, ok := w.d.Next(w.row, Event{Kind: kind, At: w.now}); ok {
				w.save(next, w.row.Version)
			}
		}
	}
}

// claim takes the saga over when its time has come, and goes on with it.
func (w *world) claim(driver int) {
	if w.row.State.Final() || w.now.Before(w.wake) {
		return
	}
	w.row.Version++
	w.wake = w.now.Add(4 * time.Second)
	s := w.row
	w.goOn(driver, s)
}

func (w *world) goOn(driver int, s Saga) {
	w.drivers[driver] = &s
	now := w.clocks[driver].at(w.here(driver))
	switch due := w.d.Due(s, now); due.Op {
	case Nothing:
		w.drivers[driver] = nil
	case Wait:
		w.drivers[driver] = nil
		w.wake = w.now.Add(due.At.Sub(now))
	case Expire:
		w.early = w.early || w.now.Before(s.Deadline.Add(-inexact))
		w.happened(driver, Event{Kind: DeadlinePassed, At: now})
	default:
		w.inbox = append(w.inbox, message{due.Op, due.Step, driver, s.Version})
	}
}

// inexact is how wrong a reading of the database's clock may be: half of the
// time that it may take.
const inexact = 500 * time.Millisecond

// readClock has a coordinator read the database's clock; the answer was given
// at any time between the question and its arrival.
func (w *world) readClock(driver int) {
	sent := w.here(driver)
	trip := time.Duration(w.rng.Int64N(int64(2 * inexact)))
	answered := time.Duration(w.rng.Int64N(int64(trip) + 1))
	w.clocks[driver] = newReading(sent, sent.Add(trip), w.now.Add(answered))
}

// here is the time by the clock of a coordinator's machine.
func (w *world) here(driver int) time.Time { return w.now.Add(w.skews[driver]) }

// happened is Next and the store, as the engine has them.
func (w *world) happened(driver int, e Event) {
	s := *w.drivers[driver]
	next, ok := w.d.Next(s, e)
	if !ok {
		w.drivers[driver] = nil
		return
	}
	if w.broken == callFirst {
		if due := w.d.Due(next, w.now); due.Op == Do {
			w.participate(message{op: Do, step: due.Step})
		}
	}
	lostAnswer, killed := w.rng.IntN(30) == 0, w.rng.IntN(30) == 0
	if killed || !w.save(next, s.Version) || lostAnswer {
		w.drivers[driver] = nil
		return
	}
	next.Version = s.Version + 1
	w.goOn(driver, next)
}

func (w *world) save(next Saga, version int64) bool {
	if w.row.Version != version && w.broken != noVersion {
		return false
	}
	next.Version = w.row.Version + 1
	w.row = next
	w.wake = w.now.Add(4 * time.Second)
	if due := w.d.Due(next, w.now); due.Op == Wait {
		w.wake = due.At
	}
	return true
}

// deliver hands a message over, any of those under way: maybe twice, maybe not
// at all, maybe without its answer arriving.
func (w *world) deliver(chaos bool) {
	if len(w.inbox) == 0 {
		return
	}
	i := w.rng.IntN(len(w.inbox))
	m := w.inbox[i]
	if fate := w.rng.IntN(10); !chaos || fate > 0 {
		w.inbox = append(w.inbox[:i], w.inbox[i+1:]...)
		if chaos && fate == 1 {
			w.answer(m, fault.New(fault.Unavailable, "lost"))
			return
		}
	}
	err := w.participate(m)
	if chaos && w.rng.IntN(6) == 0 {
		err = fault.New(fault.DeadlineExceeded, "the answer is lost")
	}
	w.answer(m, err)
}

func (w *world) answer(m message, err error) {
	if s := w.drivers[m.driver]; s != nil && s.Version == m.version {
		w.happened(m.driver, event(m.op, m.step, err, w.clocks[m.driver].at(w.here(m.driver))))
	}
}

// participate is what txn/participant does, in a transaction.
func (w *world) participate(m message) error {
	state := w.markers[m.step]
	switch {
	case m.op == Undo && state == Done:
		w.effects[m.step]--
		w.markers[m.step] = Undone
	case m.op == Undo && w.broken != noTombstone:
		w.markers[m.step] = Undone
	case m.op == Undo:
	case state == Undone:
		return fault.New(fault.Aborted, "undone")
	case state == Refused:
		return fault.New(fault.VersionMismatch, "refused")
	case state == Done && w.broken != noMarker:
	case w.refuses[m.step]:
		w.markers[m.step] = Refused
		return fault.New(fault.VersionMismatch, "refused")
	default:
		w.effects[m.step]++
		w.markers[m.step] = Done
		w.pivoted = w.pivoted || m.step == "pay" || m.step == "give"
	}
	return nil
}

// check holds at any time.
func (w *world) check() error {
	for step, n := range w.effects {
		if n < 0 || n > 1 {
			return fmt.Errorf("%s took effect %d times", step, n)
		}
	}
	if w.early {
		return fmt.Errorf("ended before its deadline")
	}
	if w.row.State == Cancelled && w.effects["pay"]+w.effects["give"] > 0 {
		return fmt.Errorf("cancelled and paid")
	}
	return nil
}

// judge holds when all is over.
func (w *world) judge() error {
	for _, step := range w.row.Steps {
		defined, _ := w.d.step(step.Name)
		if defined.approval() {
			continue
		}
		want := 0
		if w.row.State == Completed || (!defined.undo && w.markers[step.Name] == Done) {
			want = 1
		}
		if w.effects[step.Name] != want {
			return fmt.Errorf("%s: %s took effect %d times, want %d: %+v", w.row.State, step.Name, w.effects[step.Name], want, w.row.Steps)
		}
	}
	if w.d.Name == gift.Name && w.pivoted && w.row.State != Completed {
		return fmt.Errorf("the gift is given, and yet it is %s", w.row.State)
	}
	return nil
}
