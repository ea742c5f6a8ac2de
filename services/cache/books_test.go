package cache_test

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

func TestAReadIsNearTheSecondTime(t *testing.T) {
	s := open(t, nil)
	s.want(s.read(), "v1 miss")
	s.want(s.read(), "v1 near")
	c, ok := s.Near(1)
	if !ok || string(c.Tag) != `"1.1"` || string(c.Body) != `{"id":1,"version":1}` || c.Refusal != nil {
		t.Errorf("got %+v", c)
	}
	if got := testing.AllocsPerRun(100, func() { s.Near(1) }); got != 0 {
		t.Errorf("a near hit allocates %v times", got)
	}
	if _, ok := s.Near(2); ok {
		t.Error("a book that was never read is near")
	}
}

func TestWithoutALeaseNothingIsNear(t *testing.T) {
	s := open(t, nil)
	s.want(s.read(), "v1 miss")
	s.lease.ended.Store(true)
	s.want(s.read(), "v1 miss")
	if _, ok := s.Near(1); ok {
		t.Error("near without a lease")
	}
	// What was filled without a lease may have missed a change.
	s.lease.ended.Store(false)
	s.want(s.read(), "v1 miss")
	s.want(s.read(), "v1 near")

	never := cache.NewBooks(cache.Options{})
	t.Cleanup(never.Close)
	for range 2 {
		if _, source, err := never.Get(t.Context(), 1, s.service.answer); source != cache.Miss || err != nil {
			t.Errorf("nobody follows, and the answer is %s, %v", source, err)
		}
	}
}

func TestAFloorMakesWhatIsBelowOutdated(t *testing.T) {
	s := open(t, nil)
	s.service.version = 3
	s.want(s.read(), "v3 miss")
	s.Raise(floor(1, 3))
	s.Raise(floor(2, 9))
	s.want(s.read(), "v3 near")
	s.service.set(func(s *service) { s.version = 4 })
	s.Raise(floor(1, 4))
	s.want(s.read(), "v4 miss")
	s.Raise([]coherence.Floor{{BookID: 1, Version: 4, StockVersion: 2}})
	s.want(s.read(), "v4 miss")
	s.Flush()
	s.want(s.read(), "v4 miss")
	s.want(s.read(), "v4 near")
}

// TestAFillThatBeganBeforeAChangeServesNobodyAfterIt: neither those who come
// while it is on its way, nor those who come when it has ended.
func TestAFillThatBeganBeforeAChangeServesNobodyAfterIt(t *testing.T) {
	for name, change := range map[string]func(*shelf){
		"raise": func(s *shelf) { s.Raise(floor(1, 2)) },
		"flush": func(s *shelf) { s.Flush() },
		"lapse": func(s *shelf) { s.lease.ended.Store(true) },
		"lapse and new lease": func(s *shelf) {
			s.lease.ended.Store(true)
			s.Flush()
			s.lease.ended.Store(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, nil)
			entered, release := s.service.hold()
			early := s.began()
			<-entered
			s.service.set(func(s *service) { s.version, s.gate = 2, nil })
			change(s)
			late := s.began()
			if name == "raise" { // it does not even wait for the old one
				s.want(<-late, "v2 miss")
				release()
			} else {
				release()
				s.want(<-late, "v2 miss")
			}
			s.want(<-early, "v1 miss")
			if got := s.read(); !strings.HasPrefix(got, "v2") {
				t.Errorf("then came %s", got)
			}
		})
	}
}

func TestManyReadersShareAFill(t *testing.T) {
	s := open(t, nil)
	entered, release := s.service.hold()
	answers := []<-chan string{s.began()}
	<-entered
	for range 20 {
		answers = append(answers, s.began())
	}
	release()
	for _, answer := range answers {
		if got := <-answer; got != "v1 miss" && got != "v1 near" {
			t.Errorf("got %s", got)
		}
	}
	if n := s.service.fills.Load(); n != 1 {
		t.Errorf("the service was called %d times", n)
	}
}

// TestWithoutALeaseReadersWaitForTheNextFill: the one on its way may have read
// before they came, and there is one after it for all of them.
func TestWithoutALeaseReadersWaitForTheNextFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		s.lease.ended.Store(true)
		entered, release := s.service.hold()
		first := s.began()
		<-entered
		answers := []<-chan string{}
		for range 20 {
			answers = append(answers, s.began())
		}
		synctest.Wait() // all of them wait
		s.service.set(func(s *service) { s.version = 2 })
		release()
		s.want(<-first, "v1 miss")
		for _, answer := range answers {
			s.want(<-answer, "v2 miss")
		}
		if n := s.service.fills.Load(); n != 2 {
			t.Errorf("the service was called %d times", n)
		}
	})
}

func TestAReaderWhoLeavesEndsNobodysFill(t *testing.T) {
	s := open(t, nil)
	entered, release := s.service.hold()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, _, err := s.Get(ctx, 1, s.service.answer)
		left <- err
	}()
	<-entered
	stays := s.began()
	leave()
	if err := <-left; fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the one who left got %v", err)
	}
	release()
	if got := <-stays; got != "v1 miss" && got != "v1 near" {
		t.Errorf("the one who stayed got %s", got)
	}
	if n := s.service.fills.Load(); n != 1 {
		t.Errorf("the service was called %d times", n)
	}
}

func TestAFillHasADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		_, release := s.service.hold()
		defer release()
		start := time.Now()
		s.want(s.read(), "deadline_exceeded")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestCloseEndsFills(t *testing.T) {
	s := open(t, nil)
	entered, release := s.service.hold()
	defer release()
	answer := s.began()
	<-entered
	s.Close()
	s.want(<-answer, "unavailable")
	s.want(s.read(), "unavailable")
}

func TestAPanicOfAFillIsItsReadersFailure(t *testing.T) {
	s := open(t, nil)
	_, _, err := s.Get(t.Context(), 1, func(context.Context, int64) (cache.Filled, error) { panic("hunter2") })
	if fault.KindOf(err) != fault.Internal {
		t.Errorf("got %v", err)
	}
	s.want(s.read(), "v1 miss")
}

func TestOldCopiesAreRenewedBehindTheReadersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		s.want(s.read(), "v1 miss")
		time.Sleep(47 * time.Second)
		if _, ok := s.Near(1); !ok {
			t.Error("not near")
		}
		time.Sleep(time.Second)
		if _, ok := s.Near(1); ok {
			t.Error("a copy that is to be renewed is given without")
		}
		s.service.set(func(s *service) { s.err = fault.New(fault.Unavailable, "away") })
		for range 3 { // it is right as long as the lease lives, and one try a second will do
			s.want(s.read(), "v1 near")
		}
		synctest.Wait()
		if n := s.service.fills.Load(); n != 2 {
			t.Errorf("the service was called %d times", n)
		}
		s.service.set(func(s *service) { s.err, s.version = nil, 2 })
		time.Sleep(time.Second)
		s.want(s.read(), "v1 near")
		synctest.Wait()
		s.want(s.read(), "v2 near")
		time.Sleep(time.Hour)
		s.want(s.read(), "v2 near")
		synctest.Wait()
	})
}

func TestMissingBooksAreAnsweredNearForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		s.service.missing = true
		s.want(s.readBook(7), "book_not_found miss")
		s.want(s.readBook(7), "book_not_found near")
		// One answer covers all ids that do not exist.
		for _, id := range []int64{highest + 1, 1 << 40, math.MaxInt64} {
			s.want(s.readBook(id), "book_not_found near")
		}
		s.want(s.readBook(8), "book_not_found miss")
		if n := s.service.fills.Load(); n != 2 {
			t.Errorf("the service was called %d times", n)
		}
		time.Sleep(10 * time.Second)
		s.want(s.readBook(7), "book_not_found miss")
		time.Sleep(10 * time.Second)
		s.want(s.readBook(highest+1), "book_not_found miss")
	})
}

func TestABookThatIsAddedIsThere(t *testing.T) {
	s := open(t, nil)
	s.service.missing = true
	s.want(s.readBook(7), "book_not_found miss")
	s.Raise(floor(highest+1, 1))
	s.service.set(func(s *service) { s.missing = false })
	s.want(s.readBook(highest+1), "v1 miss")
	s.Raise(floor(7, 1))
	s.want(s.readBook(7), "v1 miss")

	// A fill that read before the book was added must not say that it is not there.
	s = open(t, nil)
	s.service.missing = true
	entered, release := s.service.hold()
	answer := s.began()
	<-entered
	s.Raise(floor(highest+1, 1))
	release()
	s.want(<-answer, "book_not_found miss")
	s.service.set(func(s *service) { s.missing = false })
	s.want(s.readBook(highest+1), "v1 miss")

	// Nor what was known before a lapse.
	s = open(t, nil)
	s.service.missing = true
	s.want(s.read(), "book_not_found miss")
	s.Flush()
	s.service.set(func(s *service) { s.missing = false })
	s.want(s.readBook(highest+1), "v1 miss")
}

func TestRefusalsAreThoseOfTheService(t *testing.T) {
	s := open(t, nil)
	c, _, err := s.Get(t.Context(), 1, func(context.Context, int64) (cache.Filled, error) {
		return cache.Filled{Entry: &coherence.Entry{
			BookID: 1, Version: coherence.Gone, StockVersion: coherence.Gone, Status: http.StatusGone,
			Body: []byte(`{"type":"x","status":410,"code":"book_gone","detail":"no longer","requestId":"theirs","books":[{"bookId":1}]}`),
		}}, nil
	})
	if err != nil || c.Refusal.Kind != kinds.BookGone || c.Refusal.Message != "no longer" || len(c.Refusal.Details) != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
	s.Raise(floor(1, 1<<40)) // gone is for ever
	s.want(s.read(), "book_gone near")
}

func TestWhileTheCircuitIsOpenOldCopiesAreGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		s.want(s.read(), "v1 miss")
		s.service.set(func(s *service) { s.err = circuitOpen() })
		s.want(s.read(), "v1 near")
		s.Raise(floor(1, 2))
		s.want(s.read(), "v1 stale")
		s.lease.ended.Store(true)
		s.want(s.read(), "v1 stale")
		s.want(s.readBook(2), "circuit_open")
		time.Sleep(10 * time.Minute)
		s.want(s.read(), "circuit_open")

		// What was read without a lease is a copy too.
		s.service.set(func(s *service) { s.err, s.version = nil, 3 })
		s.want(s.read(), "v3 miss")
		s.service.set(func(s *service) { s.err = circuitOpen() })
		s.want(s.read(), "v3 stale")
	})
}

// The circuit stays closed while the service answers other calls, such as lists, without its database's leader.
func TestWhileTheServiceIsAwayOldCopiesAreGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, nil)
		s.want(s.read(), "v1 miss")
		s.Raise(floor(1, 2))
		s.service.set(func(s *service) { s.err = fault.New(fault.Unavailable, "away") })
		s.want(s.read(), "v1 stale")
		s.want(s.readBook(2), "unavailable")
		s.service.set(func(s *service) { s.err = fault.New(fault.Overloaded, "too much to do") })
		s.want(s.read(), "overloaded")
		s.service.set(func(s *service) { s.err, s.version = nil, 2 })
		s.want(s.read(), "v2 miss")
	})
}

func TestTheSharedTierIsReadFirst(t *testing.T) {
	shared := &tier{fresh: book(1, 5)}
	shared.fresh.FilledAt = time.Now().Add(-3 * time.Second)
	s := open(t, shared)
	s.want(s.read(), "v5 shared")
	if c, ok := s.Near(1); !ok || c.Age() < 3*time.Second {
		t.Errorf("it is %+v", c)
	}
	if n := s.service.fills.Load(); n != 0 {
		t.Errorf("the service was called %d times", n)
	}

	stored := make(chan struct{})
	shared = &tier{token: "mine", done: stored}
	s = open(t, shared)
	s.want(s.read(), "v1 miss")
	<-stored
	if len(shared.stored) != 1 || shared.stored[0] != 1 {
		t.Errorf("stored %v", shared.stored)
	}

	shared = &tier{} // somebody else is filling
	s = open(t, shared)
	s.want(s.read(), "v1 miss")
	s.want(s.read(), "v1 near")
	shared = &tier{away: true}
	s = open(t, shared)
	s.want(s.read(), "v1 miss")
	s.Close()
	if len(shared.stored) != 0 {
		t.Errorf("stored %v", shared.stored)
	}
}

func TestStaleCopiesOfTheSharedTier(t *testing.T) {
	shared := &tier{stale: book(1, 5)}
	shared.stale.FilledAt = time.Now().Add(-time.Minute)
	s := open(t, shared)
	s.service.err = circuitOpen()
	s.want(s.read(), "v5 stale")
	if _, ok := s.Near(1); ok {
		t.Error("a stale copy is near")
	}
	shared.stale.FilledAt = time.Now().Add(-time.Hour)
	s.want(s.read(), "circuit_open")
	shared.away = true
	s.want(s.read(), "circuit_open")
}

func TestMemoryIsBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := cache.NewBooks(cache.Options{Bytes: 1 << 20, Registry: registry})
	b.Follow(&lease{})
	t.Cleanup(b.Close)
	body := make([]byte, 4<<10)
	for id := range int64(2000) {
		_, _, err := b.Get(t.Context(), id+1, func(_ context.Context, id int64) (cache.Filled, error) {
			e := book(id, 1)
			e.Body = body
			return cache.Filled{Entry: e}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	bytes, entries := gauge(t, registry, "cache_bytes"), gauge(t, registry, "cache_entries")
	if bytes > 1<<20 || bytes < 1<<19 || entries > 256 || entries < 100 {
		t.Errorf("%v entries take %v bytes", entries, bytes)
	}
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

func BenchmarkNear(b *testing.B) {
	books := cache.NewBooks(cache.Options{})
	books.Follow(&lease{})
	defer books.Close()
	service := &service{version: 1}
	if _, _, err := books.Get(b.Context(), 1, service.answer); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := books.Near(1); !ok {
				b.Error("not near")
			}
		}
	})
}
