package twophase

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bookstore/services/platform/fault"
)

// tooLittle is how a branch refuses what there is too little for.
var tooLittle = fault.New(fault.VersionMismatch, "short")

// A crowd for one resource takes its queue only: others pass.
func TestACrowdForOneResourceIsInNobodysWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newQueues(4, 2, 100)
		impatient, leave := context.WithCancel(t.Context())
		var in, gone atomic.Int32
		var crowd sync.WaitGroup
		done := make(chan struct{})
		for range 10 {
			crowd.Go(func() {
				got, err := all.take(impatient, []Want{{"7", 1}, {"3", 1}}, time.Now())
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
		if all.atOnce([]Want{{"7", 1}}) != nil {
			t.Error("a full queue has room")
		}
		got := all.atOnce([]Want{{"5", 1}})
		if got == nil {
			t.Fatal("a request for another has to wait")
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

func requireEmpty(t *testing.T, all *queues, places int) {
	t.Helper()
	if p := all.places; len(all.resources) != 0 || p.free != places || p.held != 0 || p.left != 0 || len(p.waiting) != 0 {
		t.Errorf("left: %v, places %+v", all.resources, p)
	}
}

// Who comes first is served first, and a queue that is full says so at once.
func TestAQueueIsInOrderAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newQueues(4, 1, 3)
		first := all.atOnce([]Want{{"1", 1}})
		var order []int
		var queue sync.WaitGroup
		for i := range 3 {
			queue.Go(func() {
				got, err := all.take(t.Context(), []Want{{"1", 1}}, time.Now())
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i) // one at a time is in
				got.leave()
			})
			synctest.Wait()
		}
		if _, err := all.take(t.Context(), []Want{{"1", 1}}, time.Now()); fault.KindOf(err) != fault.Overloaded {
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

// A shortage answers those who came before the database was
// read and take more than was left, and no others.
func TestWhomAShortageAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newQueues(4, 1, 100)
		first := all.atOnce([]Want{{"1", 1}})
		answers := map[string]error{}
		var mu sync.Mutex
		var queue sync.WaitGroup
		request := func(name string, wants ...Want) {
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
		request("three", Want{"1", 3})
		request("two", Want{"1", 2})
		request("nothing of it", Want{"1", 0})
		request("three, and of another", Want{"1", 3}, Want{"2", 1})
		<-time.After(time.Millisecond)
		read := time.Now()
		request("three, later", Want{"1", 3})
		all.short([]Shortage{{"1", 2, tooLittle}, {"9", 0, tooLittle}}, read)
		synctest.Wait()
		mu.Lock()
		for name, refused := range map[string]bool{"three": true, "three, and of another": true} {
			if err, got := answers[name]; got != refused || fault.KindOf(err) != tooLittle.Kind {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(answers) != 2 {
			t.Errorf("answered: %v", answers)
		}
		mu.Unlock()
		first.leave()
		queue.Wait()
		for _, name := range []string{"two", "nothing of it", "three, later"} {
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
		all := newQueues(2, 4, 100)
		one, two := all.atOnce([]Want{{"1", 1}}), all.atOnce([]Want{{"1", 1}})
		var err error
		var waiting sync.WaitGroup
		waiting.Go(func() { _, err = all.take(t.Context(), []Want{{"2", 1}}, time.Now()) })
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
		if _, err := all.take(t.Context(), []Want{{"2", 1}}, time.Now()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("got %v", err)
		}
		one.leaveResources()
		one.leave()
		if got := all.atOnce([]Want{{"2", 1}}); got == nil {
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
	all := newQueues(4, 1, 100)
	holder := all.atOnce([]Want{{"1", 1}})
	arrived := time.Now()
	none := []Shortage{{"1", 0, tooLittle}}
	all.short(none, time.Now().Add(time.Hour))
	var work sync.WaitGroup
	work.Go(func() {
		for range requests {
			all.short(none, time.Now().Add(time.Hour))
		}
	})
	work.Go(func() {
		for range requests {
			if _, err := all.take(t.Context(), []Want{{"1", 1}}, arrived); fault.KindOf(err) != tooLittle.Kind {
				t.Errorf("got %v", err)
			}
		}
	})
	work.Wait()
	holder.leave()
	requireEmpty(t, all, 4)
}
