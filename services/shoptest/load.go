package shoptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Load sends requests at steady rates, however long their answers take (an open loop), and
// remembers what became of each. Those that place orders are acknowledged or not: Acks is the
// account of what the shop has promised.
type Load struct {
	Shop     *Client
	Customer string  // who orders
	Books    []int64 // what is ordered and read; they are deleted when the test ends
	Tally    Tally   // answers, by what they were

	settle  context.Context // ends the orders, which outlive the load
	giveUp  context.CancelFunc
	stop    context.CancelFunc
	stopped time.Time
	flying  sync.WaitGroup
	slots   chan struct{}
	sent    atomic.Int64

	mu      sync.Mutex
	results []Result
	acks    []Ack
	wrong   []string // answers that must never be
}

// Stream is one kind of request, which a load begins at every tick.
type Stream struct {
	Kind  string // names its results
	Every time.Duration
	Call  func(n int) Call // the nth
	Want  int              // the status of a right answer
	// Settle makes an order be asked for until it is settled; answers on the way that say
	// nothing about it are results too. Else a call is made once, and again, up to contendedTries
	// times, only where the answer says that others were changing the same rows.
	Settle bool
	Most   int // under way, where Settle holds many back: no more are begun; 0: no such limit
}

// Result is one answer, or none.
type Result struct {
	Kind         string
	Path         string
	Began, Ended time.Time
	Cache        string // what answered: the X-Cache header
	Wrong        string // in words; empty: it was the right answer
}

// Ack is an order as it was acknowledged.
type Ack struct {
	At   time.Time
	Path string
	Body []byte
}

// Same reads an order and tells whether the shop shows it as it acknowledged it.
func (a Ack) Same(t testing.TB, c *Client) (*Answer, bool) {
	t.Helper()
	read := c.Do(t, Call{Method: http.MethodGet, Path: a.Path})
	var acked, now any
	same := json.Unmarshal(a.Body, &acked) == nil && json.Unmarshal(read.Body, &now) == nil && reflect.DeepEqual(acked, now)
	return read, read.Status == http.StatusOK && same
}

// The bounds of a load.
const (
	contendedTries = 3
	mostInFlight   = 1024 // half a minute of the loads here: a stall is slow, what fails is a failure
	maxLoad        = 30 * time.Minute
	// SettleWithin is how long after the end of a load its last orders may take to be settled.
	SettleWithin = 30 * time.Second
)

// NewLoad makes a customer, and books of which there are so many copies. It sends nothing yet.
func NewLoad(t *testing.T, books int, copies int64) *Load {
	t.Helper()
	l := &Load{Shop: Shop(t), Customer: "load-" + uuid.NewString()[:8], slots: make(chan struct{}, mostInFlight)}
	for i := range books {
		l.Books = append(l.Books, l.Shop.AddBook(t, fmt.Sprintf("Load %d", i), copies).ID)
	}
	return l
}

// Start sends the streams until Finish, or until the test ends.
func (l *Load) Start(t *testing.T, streams ...Stream) {
	t.Helper()
	l.settle, l.giveUp = context.WithTimeout(context.WithoutCancel(t.Context()), maxLoad)
	var ctx context.Context
	ctx, l.stop = context.WithCancel(l.settle)
	TellOfMachine(t)
	for _, s := range streams {
		l.flying.Go(func() { l.run(ctx, s) })
	}
	t.Cleanup(func() { l.giveUp(); l.Finish() })
}

// run begins one request of the stream at every tick.
func (l *Load) run(ctx context.Context, s Stream) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	most := make(chan struct{}, s.Most)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.Most == 0 {
			l.begin(s, n, func() {})
			continue
		}
		select {
		case most <- struct{}{}:
			l.begin(s, n, func() { <-most })
		default:
		}
	}
}

// begin makes the nth request of a stream beside all others.
func (l *Load) begin(s Stream, n int, done func()) {
	select {
	case l.slots <- struct{}{}:
	default:
		done()
		l.note(fmt.Sprintf("more than %d requests wait for an answer", mostInFlight))
		return
	}
	l.sent.Add(1)
	l.flying.Go(func() {
		defer func() { <-l.slots; done() }()
		if s.Settle {
			l.settled(s, s.Call(n))
		} else {
			l.once(s, s.Call(n))
		}
	})
}

// Crowd makes so many requests of a stream at once.
func (l *Load) Crowd(s Stream, n int) {
	for i := range n {
		l.begin(s, i, func() {})
	}
}

// once makes a request of which every answer is judged. It is not cancelled when the load ends.
func (l *Load) once(s Stream, k Call) {
	began := time.Now()
	a, err := l.Shop.Try(l.settle, k)
	for tries := 1; err == nil && a.Status == http.StatusConflict && Again(a) && tries < contendedTries; tries++ {
		l.Tally.Add(k.Method + " " + a.Problem().Code)
		a, err = l.Shop.Try(l.settle, k)
	}
	l.add(s, k, began, a, err)
}

// settled asks for an order until it is settled.
func (l *Load) settled(s Stream, k Call) {
	began := time.Now()
	a, err := l.Shop.Settle(l.settle, k, func(a *Answer, err error) {
		if err != nil || a.Status >= http.StatusInternalServerError {
			l.add(s, k, began, a, err)
		}
		l.Tally.Add("asked again")
	})
	switch {
	case err != nil:
		l.note(err.Error())
	case a.Status != s.Want:
		l.note(fmt.Sprintf("%s %s was answered with %v", k.Method, k.Path, a))
	default:
		l.mu.Lock()
		l.acks = append(l.acks, Ack{time.Now(), a.Header.Get("Location"), a.Body})
		l.mu.Unlock()
		l.add(s, k, began, a, nil)
	}
}

func (l *Load) add(s Stream, k Call, began time.Time, a *Answer, err error) {
	r := Result{Kind: s.Kind, Path: k.Path, Began: began, Ended: time.Now()}
	switch {
	case err != nil:
		r.Wrong = err.Error()
	case a.Status != s.Want:
		r.Wrong = fmt.Sprintf("%v, X-Request-Id %s", a, a.Header.Get("X-Request-Id"))
	}
	if err == nil {
		r.Cache = a.Header.Get("X-Cache")
		l.Tally.Add(fmt.Sprintf("%s %d", k.Method, a.Status))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, r)
}

func (l *Load) note(wrong string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, wrong)
}

// Finish ends the load and gives its last orders time to be settled.
func (l *Load) Finish() {
	if l.stopped.IsZero() {
		l.stopped = time.Now()
	}
	l.stop()
	timer := time.AfterFunc(SettleWithin, l.giveUp)
	defer timer.Stop()
	l.flying.Wait()
}

// More waits until n more requests of a kind got the right answer, of any kind where it is empty:
// a stretch of load between two steps.
func (l *Load) More(t *testing.T, kind string, n int) {
	t.Helper()
	until := len(l.right(kind)) + n
	Eventually(t, time.Minute, fmt.Sprintf("%d more answers %s", n, kind), func(context.Context) error {
		if now := len(l.right(kind)); now < until {
			return fmt.Errorf("%d to go", until-now)
		}
		return nil
	})
}

// Sent is how many requests were begun so far.
func (l *Load) Sent() int64 { return l.sent.Load() }

// Results are the answers of one kind so far, or of all where it is empty, in the order of their ends.
func (l *Load) Results(kind string) (found []Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.results {
		if kind == "" || r.Kind == kind {
			found = append(found, r)
		}
	}
	return found
}

func (l *Load) right(kind string) []Result {
	return slices.DeleteFunc(l.Results(kind), func(r Result) bool { return r.Wrong != "" })
}

// Failed are the answers of a kind that were not right.
func (l *Load) Failed(kind string) []Result {
	return slices.DeleteFunc(l.Results(kind), func(r Result) bool { return r.Wrong == "" })
}

// Acks are the orders that were acknowledged so far, in their order.
func (l *Load) Acks() []Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acks)
}

// Gap is the longest time without a right answer of a kind that ended after since, while the
// load lasted. A path narrows it to the answers about one book, say.
func (l *Load) Gap(kind, path string, since time.Time) time.Duration {
	var served []time.Time
	for _, r := range l.right(kind) {
		if path == "" || r.Path == path {
			served = append(served, r.Ended)
		}
	}
	return Gap(served, since, l.stopped)
}

// RequireRight fails the test for what must never be: an order that is refused for no reason of
// its own, or is not settled in time.
func (l *Load) RequireRight(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.wrong); n > 0 {
		t.Errorf("%d times what must never be, such as\n%s", n, strings.Join(l.wrong[:min(mostExamples, n)], "\n"))
	}
}

// mostExamples is how many failures a test tells of: more of them say nothing more.
const mostExamples = 10

// Examples are the first of some failures, in words.
func Examples(failed []Result) (text string) {
	for _, r := range failed[:min(mostExamples, len(failed))] {
		text += fmt.Sprintf("%s %s %s: %s\n", r.Ended.UTC().Format("15:04:05.000"), r.Kind, r.Path, r.Wrong)
	}
	return text
}

// RequireFailures fails the test where more answers than so many were not the right ones.
func (l *Load) RequireFailures(t *testing.T, most int) {
	t.Helper()
	if failed := l.Failed(""); len(failed) > most {
		t.Errorf("%d of %d requests failed, more than %d, such as\n%s", len(failed), l.Sent(), most, Examples(failed))
	}
	l.RequireRight(t)
}

// RequireNoFailure ends the load and fails the test for any answer that was not the right one.
func (l *Load) RequireNoFailure(t *testing.T) {
	t.Helper()
	l.Finish()
	t.Logf("%d requests: %s", l.Sent(), l.Tally.Text())
	l.RequireFailures(t, 0)
}
