package checkout_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/txn/twophase"
)

// The commits of a few orders of a bestseller hang, and their clients repeat them:
// other buyers are served.
func TestUnfinishedOrdersOfABookDelayNoOtherBuyer(t *testing.T) {
	t.Parallel()
	const hung, others = 4, 12
	hang := make(chan struct{})
	var mine sync.Map
	s := open(t, options{deadline: 6 * time.Second, orders: faults{commit: func(m twophase.Message) error {
		if _, ok := mine.Load(m.GID); ok {
			<-hang
		}
		return nil
	}}})
	b := s.book("A", 100, 100)
	var stuck sync.WaitGroup
	answers := make(chan answer, 2*hung)
	for i := range hung {
		key := fmt.Sprint("hung-", i)
		mine.Store(s.gid(key), true)
		stuck.Go(func() { answers <- s.buy(key, b, 1) })
	}
	s.eventually("the books branches are committed", func() bool { return s.stock(b) == 100-hung })
	for i := range hung {
		stuck.Go(func() { answers <- s.buy(fmt.Sprint("hung-", i), b, 1) })
	}
	var buying sync.WaitGroup
	for i := range others {
		buying.Go(func() { s.buy(fmt.Sprint("other-", i), b, 1).want(t, http.StatusCreated, "") })
	}
	buying.Wait()
	if n := len(answers); n > 0 {
		t.Errorf("%d of the orders that hang are answered before the others", n)
	}
	stuck.Wait()
	close(answers)
	for a := range answers {
		if code := a.code(); code != "outcome_unknown" && code != "in_progress" {
			t.Errorf("an order that hangs: %d %s", a.status, a.text)
		}
	}
	close(hang)
	for i := range hung {
		s.eventually("the same key is answered", func() bool { return s.buy(fmt.Sprint("hung-", i), b, 1).status == http.StatusCreated })
	}
	s.finished()
	if left := s.stock(b); left != 100-hung-others {
		t.Errorf("%d copies left", left)
	}
}

// A repeat is answered while there is no place for a new request.
func TestARepeatDoesNotQueue(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var slow atomic.Value
	slow.Store("")
	s := open(t, options{
		times: func(t *twophase.Settings) { t.MaxInFlight = 1 },
		books: faults{prepare: func(m twophase.Message) error {
			if m.GID == slow.Load() {
				<-hang
			}
			return nil
		}},
	})
	b := s.book("A", 100, 10)
	first := s.buy("before", b, 1).want(t, http.StatusCreated, "")
	slow.Store(s.gid("slow"))
	var slowly sync.WaitGroup
	slowly.Go(func() { s.buy("slow", b, 1).want(t, http.StatusCreated, "") })
	s.eventually("the only place is taken", func() bool {
		return s.number(s.transactions, "SELECT count(*) FROM transactions WHERE finished_at IS NULL") == 1
	})
	again := s.buy("before", b, 1).want(t, http.StatusCreated, "")
	if again.text != first.text || again.header.Get("Idempotent-Replayed") == "" {
		t.Errorf("not the same answer: %v %s", again.header, again.text)
	}
	s.buy("before", b, 2).want(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	close(hang)
	slowly.Wait()
	s.finished()
}

// Once the last copy is sold, one refusal of the branch answers all who wait for one.
func TestOneRefusalAnswersACrowd(t *testing.T) {
	t.Parallel()
	const buyers, copies = 120, 7
	var prepares atomic.Int64
	s := open(t, options{books: faults{prepare: func(twophase.Message) error { prepares.Add(1); return nil }}})
	b := s.book("A", 100, copies)
	start := make(chan struct{})
	codes := make([]string, buyers)
	var buying sync.WaitGroup
	for i := range buyers {
		buying.Go(func() {
			<-start
			codes[i] = s.buy(fmt.Sprint("buyer-", i), b, 1).code()
		})
	}
	close(start)
	buying.Wait()
	said := map[string]int{}
	for _, code := range codes {
		said[code]++
	}
	if said[""] != copies || said["out_of_stock"] != buyers-copies {
		t.Errorf("answered: %v", said)
	}
	if n := prepares.Load(); n > buyers/2 {
		t.Errorf("the books branch was asked %d times", n)
	}
	s.finished()
	for i, code := range codes {
		if code != "" {
			s.buy(fmt.Sprint("buyer-", i), b, 1).want(t, http.StatusConflict, code)
			break
		}
	}
	s.send(http.MethodPost, fmt.Sprintf("%s/books/%d/stock", s.booksURL, b), `{"delta":1}`).want(t, http.StatusOK, "")
	s.buy("after", b, 1).want(t, http.StatusCreated, "")
	s.finished()
}

// Branches whose clients have been answered stay prepared while their
// participant is silent: no more than there are places.
func TestPreparedBranchesAreBounded(t *testing.T) {
	t.Parallel()
	const places, orders = 4, 40
	hang := make(chan struct{})
	silent := func(twophase.Message) error { <-hang; return nil }
	s := open(t, options{
		deadline: 3 * time.Second, // long enough for all of them to wait
		times:    func(t *twophase.Settings) { t.MaxInFlight = places },
		orders:   faults{commit: silent, abort: silent},
	})
	b := make([]int64, orders)
	for i := range b {
		b[i] = s.book(fmt.Sprint("Book ", i), 100, 10)
	}
	var buying sync.WaitGroup
	for i := range b {
		buying.Go(func() {
			if a := s.buy(fmt.Sprint("k-", i), b[i], 1); a.status != http.StatusServiceUnavailable {
				t.Errorf("order %d: %d %s", i, a.status, a.text)
			}
		})
	}
	buying.Wait()
	if n := s.number(s.orders, "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"); n != places {
		t.Errorf("%d branches are prepared, want %d", n, places)
	}
	began := time.Now()
	s.buy("late", b[0], 1).want(t, http.StatusServiceUnavailable, "unavailable")
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("a refusal took %v", took)
	}
	close(hang)
	s.eventually("orders are placed again", func() bool { return s.buy("late", b[0], 1).status == http.StatusCreated })
	s.finished()
}
