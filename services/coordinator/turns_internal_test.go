package coordinator

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// A crowd for one book takes its queue only: others pass.
func TestACrowdForOneBookIsInNobodysWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4, 2, 100)
		impatient, leave := context.WithCancel(t.Context())
		var in, gone atomic.Int32
		var crowd sync.WaitGroup
		done := make(chan struct{})
		for range 10 {
			crowd.Go(func() {
				got, err := all.take(impatient, []want{{7, 1}, {3, 1}}, time.Now())
				if err != nil {
					gone.Add(1)
					return
				}
				in.Add(1)
				<-done
				got.leave()
			})
		}
		synctest.Wait()
		if in.Load() != 2 {
			t.Errorf("%d are in", in.Load())
		}
		if all.atOnce([]want{{7, 1}}) != nil {
			t.Error("a full queue has room")
		}
		got := all.atOnce([]want{{5, 1}})
		if got == nil {
			t.Fatal("another book's order has to wait")
		}
		got.leave()
		leave()
		synctest.Wait()
		if gone.Load() != 8 {
			t.Errorf("%d have gone", gone.Load())
		}
		close(done)
		crowd.Wait()
		requireEmpty(t, all, 4)
	})
}

func requireEmpty(t *testing.T, all *turns, places int) {
	t.Helper()
	if p := all.places; len(all.books) != 0 || p.free != places || p.held != 0 || p.left != 0 || len(p.waiting) != 0 {
		t.Errorf("left: %v, places %+v", all.books, p)
	}
}

// Who comes first is served first, and a queue that is full says so at once.
func TestAQueueIsInOrderAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4, 1, 3)
		first := all.atOnce([]want{{1, 1}})
		var order []int
		var queue sync.WaitGroup
		for i := range 3 {
			queue.Go(func() {
				got, err := all.take(t.Context(), []want{{1, 1}}, time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i) // one at a time is in
				got.leave()
			})
			synctest.Wait()
		}
		if _, err := all.take(t.Context(), []want{{1, 1}}, time.Now()); fault.KindOf(err) != fault.Overloaded {
			t.Errorf("a full queue: %v", err)
		}
		first.leave()
		queue.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("served in the order %v", order)
		}
		requireEmpty(t, all, 4)
	})
}

// A refusal for want of copies answers those who came before the database was
// asked and take more than was left, and nobody else.
func TestWhomAShortageAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(4, 1, 100)
		first := all.atOnce([]want{{1, 1}})
		answers := map[string]error{}
		var mu sync.Mutex
		var queue sync.WaitGroup
		ask := func(name string, wants ...want) {
			queue.Go(func() {
				got, err := all.take(t.Context(), wants, time.Now())
				if err == nil {
					got.leave()
				}
				mu.Lock()
				defer mu.Unlock()
				answers[name] = err
			})
			synctest.Wait()
		}
		ask("three", want{1, 3})
		ask("two", want{1, 2})
		ask("a cancel", want{1, 0})
		ask("three, and another book", want{1, 3}, want{2, 1})
		<-time.After(time.Millisecond)
		asked := time.Now()
		ask("three, later", want{1, 3})
		refusal := fault.New(kinds.OutOfStock, "short")
		refusal.Details = map[string]any{"books": []map[string]any{{"bookId": 1, "available": 2}, {"bookId": 9, "available": 0}}}
		all.soldOut(refusal, asked)
		synctest.Wait()
		mu.Lock()
		for name, refused := range map[string]bool{"three": true, "three, and another book": true} {
			if err, told := answers[name]; told != refused || fault.KindOf(err) != kinds.OutOfStock {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(answers) != 2 {
			t.Errorf("answered: %v", answers)
		}
		mu.Unlock()
		first.leave()
		queue.Wait()
		for _, name := range []string{"two", "a cancel", "three, later"} {
			if answers[name] != nil {
				t.Errorf("%s: %v", name, answers[name])
			}
		}
		requireEmpty(t, all, 4)
	})
}

// Places whose clients have been answered are not given out again before their
// branches are finished, and nobody waits for them.
func TestWhatIsUnfinishedKeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newTurns(2, 4, 100)
		one, two := all.atOnce([]want{{1, 1}}), all.atOnce([]want{{1, 1}})
		var err error
		var waiting sync.WaitGroup
		waiting.Go(func() { _, err = all.take(t.Context(), []want{{2, 1}}, time.Now()) })
		synctest.Wait()
		one.abandon()
		synctest.Wait()
		if err != nil {
			t.Errorf("refused while one is at work: %v", err)
		}
		two.abandon()
		waiting.Wait()
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
		if _, err := all.take(t.Context(), []want{{2, 1}}, time.Now()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
		one.leaveBooks()
		one.leave()
		if got := all.atOnce([]want{{2, 1}}); got == nil {
			t.Error("no room for another")
		} else {
			got.leave()
		}
		two.leave()
		two.leave()
		requireEmpty(t, all, 2)
	})
}

// Requests that find a shortage when they come are answered by one that stood
// then, while later refusals replace it.
func TestAShortageIsReplacedWhileItAnswers(t *testing.T) {
	t.Parallel()
	const requests = 1000
	all := newTurns(4, 1, 100)
	holder := all.atOnce([]want{{1, 1}})
	arrived := time.Now()
	refusal := fault.New(kinds.OutOfStock, "short")
	refusal.Details = map[string]any{"books": []map[string]any{{"bookId": 1, "available": 0}}}
	all.soldOut(refusal, time.Now().Add(time.Hour))
	var work sync.WaitGroup
	work.Go(func() {
		for range requests {
			all.soldOut(refusal, time.Now().Add(time.Hour))
		}
	})
	work.Go(func() {
		for range requests {
			if _, err := all.take(t.Context(), []want{{1, 1}}, arrived); fault.KindOf(err) != kinds.OutOfStock {
				t.Errorf("got %v", err)
			}
		}
	})
	work.Wait()
	holder.leave()
	requireEmpty(t, all, 4)
}
