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
// records the outcome of each. Acks are the orders that the shop acknowledged.
type Load struct {
	Shop     *Client
	Customer string  // who orders
	Books    []int64 // what is ordered and read; they are deleted when the test ends
	Tally    Tally   // answers, by what they were

	requests context.Context    // of all requests; those under way outlive the load
	giveUp   context.CancelFunc // ends it
	stop     context.CancelFunc
	stopped  time.Time
	flying   sync.WaitGroup
	slots    chan struct{}
	sent     atomic.Int64

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
	// Persist repeats a request until its outcome is known; errors and answers 5xx before that are
	// results too. Without it a request is sent once, and repeated, in contendedTries attempts at
	// most, only where the answer says that others were changing the same rows.
	Persist bool
	Most    int // requests of the stream in flight: no more are begun; 0: unlimited
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
	mostInFlight   = 1024 // half a minute of the loads here, so that a stall does not count as failures
	maxLoad        = 30 * time.Minute
	// FinishWithin is how long after the end of a load the outcomes of its last orders may be unknown.
	FinishWithin = 30 * time.Second
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
	l.requests, l.giveUp = context.WithTimeout(context.WithoutCancel(t.Context()), maxLoad)
	var ctx context.Context
	ctx, l.stop = context.WithCancel(l.requests)
	LogOverload(t)
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
		if s.Persist {
			l.persist(s, s.Call(n))
		} else {
			l.once(s, s.Call(n))
		}
	})
}

// Burst makes so many requests of a stream at once.
func (l *Load) Burst(s Stream, n int) {
	for i := range n {
		l.begin(s, i, func() {})
	}
}

// once makes a request whose first answer counts. It is not cancelled when the load ends.
func (l *Load) once(s Stream, k Call) {
	began := time.Now()
	a, err := l.Shop.Try(l.requests, k)
	for tries := 1; err == nil && a.Status == http.StatusConflict && Again(a) && tries < contendedTries; tries++ {
		l.Tally.Add(k.Method + " " + a.Problem().Code)
		a, err = l.Shop.Try(l.requests, k)
	}
	l.add(s, k, began, a, err)
}

// persist makes a request until its outcome is known.
func (l *Load) persist(s Stream, k Call) {
	began := time.Now()
	a, err := l.Shop.Persist(l.requests, k, func(a *Answer, err error) bool {
		if err != nil || a.Status >= http.StatusInternalServerError {
			l.add(s, k, began, a, err)
		}
		return l.Tally.Inconclusive(a, err)
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

// Finish ends the load and waits for its last orders, for FinishWithin at most.
func (l *Load) Finish() {
	if l.stopped.IsZero() {
		l.stopped = time.Now()
	}
	l.stop()
	timer := time.AfterFunc(FinishWithin, l.giveUp)
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

// RequireRight fails the test for what must never be: an order that is refused without a reason of
// its own, or whose outcome stayed unknown.
func (l *Load) RequireRight(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.wrong); n > 0 {
		t.Errorf("%d times what must never be, such as\n%s", n, strings.Join(l.wrong[:min(mostExamples, n)], "\n"))
	}
}

// mostExamples bounds how many failures a test prints.
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

// Kinds of requests that loads are made of.
const (
	Orders  = "order"
	Books   = "book"
	Lists   = "list"
	Another = "other read"
)

// BesideOthers is the rate of a load, in requests a second, while something else is done to the
// shop: about a third of what two cores carry, for what is started or replaced takes as much again.
const BesideOthers = 30

// StartEveryday sends a mix of requests, BesideOthers a second, a fifth of them orders.
func StartEveryday(t *testing.T) *Load {
	t.Helper()
	l := NewLoad(t, 20, 100_000)
	l.Start(t, l.Everyday()...)
	return l
}

// Everyday are the requests of StartEveryday.
func (l *Load) Everyday() []Stream {
	every := func(tenths time.Duration) time.Duration { return 10 * time.Second / (tenths * BesideOthers) }
	return []Stream{
		l.Orders(every(2), false),
		l.Reads(every(5)),
		{Kind: Lists, Every: every(1), Want: http.StatusOK, Call: func(int) Call { return get("/books?limit=5") }},
		{Kind: Another, Every: every(1), Want: http.StatusOK, Call: func(n int) Call { return get(fmt.Sprintf("/books/%d/availability", l.book(n))) }},
		{Kind: Another, Every: every(1), Want: http.StatusOK, Call: func(int) Call { return get("/orders?customerId=" + l.Customer + "&limit=5") }},
	}
}

// StartReads reads one path so many times a second.
func StartReads(t *testing.T, perSecond int, path string) *Load {
	t.Helper()
	l := NewLoad(t, 0, 0)
	l.Start(t, Stream{Kind: Books, Every: time.Second / time.Duration(perSecond), Want: http.StatusOK, Call: func(int) Call { return get(path) }})
	return l
}

// Orders are orders of one or two of the load's books, each under a key of its own; with persist
// each is repeated until its outcome is known.
func (l *Load) Orders(every time.Duration, persist bool) Stream {
	return Stream{Kind: Orders, Every: every, Want: http.StatusCreated, Persist: persist, Call: func(n int) Call {
		items := []OrderItem{{BookID: l.book(n), Quantity: 1}}
		if persist && n%3 == 0 && len(l.Books) > 1 {
			items = append(items, OrderItem{BookID: l.book(n + 1), Quantity: 2})
		}
		return Buy(l.Customer, "load-"+uuid.NewString(), items...)
	}}
}

// Reads are reads of the load's books.
func (l *Load) Reads(every time.Duration) Stream {
	return Stream{Kind: Books, Every: every, Want: http.StatusOK, Call: func(n int) Call { return get(BookPath(l.book(n))) }}
}

// BookPath is the path of a book.
func BookPath(id int64) string { return fmt.Sprintf("/books/%d", id) }

func (l *Load) book(n int) int64 { return l.Books[n%len(l.Books)] }

func get(path string) Call { return Call{Method: http.MethodGet, Path: path} }
