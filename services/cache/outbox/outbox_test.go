package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/books"
	"bookstore/services/books/announce"
	"bookstore/services/books/bookspg"
	"bookstore/services/cache/coherence"
	"bookstore/services/cache/outbox"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/wait/waittest"
)

// both are the books that every change below is about.
var both = []int64{1, 2}

// Whoever changes a book, and dies right after: a row says so, and a round has
// the caches get it.
func TestEveryChangeLeavesARowForTheRounds(t *testing.T) {
	t.Parallel()
	all := append(changes(),
		change{"create", nil, func(f *shelf) error { _, err := f.Create(ctx, draft(3)); return err }},
		change{"by hand", nil, nil})
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			s.add(2)
			dead, alive := s.mortal(), s.instance()
			if c.prepare != nil {
				if err := c.prepare(dead); err != nil {
					t.Fatal(err)
				}
				s.exec("delete from cache_outbox")
			}
			before := []coherence.Floor{s.standing(1), s.standing(2)}
			if c.do == nil {
				s.exec("update books set version = version + 1 where id in (1, 2)")
				s.exec("update stock set version = version + 1")
			} else if err := c.do(dead); err != nil {
				t.Fatal(err)
			}
			if s.rows() == 0 {
				t.Fatal("no row was left")
			}
			s.ripen()
			if err := alive.relay.Round(ctx); err != nil || s.rows() != 0 {
				t.Errorf("%d rows are left by a round, %v", s.rows(), err)
			}
			for i, id := range both {
				now, want := s.standing(id), coherence.Floor{BookID: id}
				if now.Version > before[i].Version {
					want.Version = now.Version
				}
				if now.StockVersion > before[i].StockVersion {
					want.StockVersion = now.StockVersion
				}
				got, _ := s.caches.announced(id)
				got.BookID = id // also where nothing was announced
				if got != want {
					t.Errorf("announced %+v, want %+v", got, want)
				}
			}
			if got, _ := s.caches.announced(3); c.name == "create" && got != (coherence.Floor{BookID: 3, Version: 1, StockVersion: 1}) {
				t.Errorf("a new book is announced as %+v", got)
			}
		})
	}
}

// A change that may be rolled back is not announced.
func TestARowComesAndGoesWithItsChange(t *testing.T) {
	s := open(t)
	s.add(2)
	f := s.mortal()
	if err := f.prepare("g1", books.Reserve, 1, 2); err != nil {
		t.Fatal(err)
	}
	if n := s.rows(); n != 0 {
		t.Errorf("%d rows of a branch that is only prepared", n)
	}
	if err := f.participant.Abort(ctx, message("g1")); err != nil || s.rows() != 0 {
		t.Errorf("%d rows of a branch that is aborted, %v", s.rows(), err)
	}
	if err := f.order("g2", books.Reserve, 1, 2); err != nil || s.rows() != 2 {
		t.Errorf("%d rows of an order of two books, %v", s.rows(), err)
	}
	s.exec("delete from cache_outbox")
	if err := f.order("g3", books.Reserve, 1, 9); !fault.Refused(err) || s.rows() != 0 {
		t.Errorf("%d rows of a refused order, %v", s.rows(), err)
	}
}

// Commit, then the caches, then the answer; and the rows go with the next round.
func TestAChangeIsAnnouncedAfterItsCommitAndBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range changes() {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			s.add(2)
			f := s.instance()
			if c.prepare != nil {
				if err := c.prepare(f); err != nil {
					t.Fatal(err)
				}
			}
			before := []coherence.Floor{s.standing(1), s.standing(2)}
			s.caches.each = func(announced coherence.Floor) {
				now := s.standing(announced.BookID)
				if now == before[announced.BookID-1] {
					t.Errorf("%+v is announced before it is committed", announced)
				}
			}
			if err := c.do(f); err != nil {
				t.Fatal(err)
			}
			for i, id := range both { // no round has run
				if now := s.standing(id); now.Version > before[i].Version {
					s.covered(coherence.Floor{BookID: id, Version: now.Version})
				} else if now.StockVersion > before[i].StockVersion {
					s.covered(coherence.Floor{BookID: id, StockVersion: now.StockVersion})
				}
			}
			if err := f.relay.Round(ctx); err != nil || s.rows() != 0 {
				t.Errorf("%d rows are left, %v", s.rows(), err)
			}
		})
	}
}

// The answer got lost with its instance, and the call is repeated at another one,
// which finds it done: that is the first answer that anybody gets.
func TestWhatIsFoundDoneIsAnnouncedToo(t *testing.T) {
	s := open(t)
	s.add(2)
	dead, alive := s.mortal(), s.instance()
	checkout, back := stepOf("a", "reserve_stock"), stepOf("b", "restock")
	adjust := func(ctx context.Context, store books.Store) error {
		_, err := store.Adjust(ctx, 1, 1)
		return err
	}
	again := map[string]func(f *shelf) error{
		"commit":   func(f *shelf) error { return f.order("g", books.Reserve, 1, 2) },
		"checkout": func(f *shelf) error { return f.step(checkout, books.Reserve, 1, 2) },
		"return":   func(f *shelf) error { return f.step(back, books.Restock, 1) },
		"key":      func(f *shelf) error { _, err := f.under("k", false, adjust); return err },
		"release":  func(f *shelf) error { return f.release(checkout) },
	}
	for _, name := range []string{"commit", "checkout", "return", "key", "release"} {
		if err := again[name](dead); err != nil {
			t.Fatal(err)
		}
		want := s.standing(1).StockVersion
		if got, _ := s.caches.announced(1); got.StockVersion >= want {
			t.Fatalf("%s: announced by an instance that had ended", name)
		}
		if err := again[name](alive); err != nil {
			t.Fatal(err)
		}
		s.covered(coherence.Floor{BookID: 1, StockVersion: want})
	}
}

func TestARefusalUnderAKeyAnnouncesNothing(t *testing.T) {
	s := open(t)
	s.add(1)
	f := s.instance()
	if _, err := f.under("k", true, func(ctx context.Context, store books.Store) error {
		_, err := store.Adjust(ctx, 1, 1)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, calls := s.caches.announced(1); calls != 0 || s.rows() != 0 {
		t.Errorf("%d announcements, %+v, %d rows", calls, got, s.rows())
	}
}

// A round is for what others have left behind, not for what is on its way.
func TestYoungRowsAreTheirMakers(t *testing.T) {
	s := open(t)
	s.add(1)
	f := s.instance()
	s.exec("update stock set version = version + 1")
	s.exec("update cache_outbox set created_at = now() + interval '1 minute'")
	if err := f.relay.Round(ctx); err != nil {
		t.Fatal(err)
	}
	if _, calls := s.caches.announced(1); calls != 0 || s.rows() != 1 {
		t.Errorf("%d announcements, %d rows", calls, s.rows())
	}
}

// While the caches are away changes are made and answered. They are announced
// by the first round that reaches them, however young they are.
func TestWhatIsNotConfirmedIsAnnouncedUntilItIs(t *testing.T) {
	s := open(t)
	s.add(2)
	reg := prometheus.NewRegistry()
	relay := outbox.New(s.pool, s.caches.announce, discard, reg)
	store := announce.Store(bookspg.New(s.pool), relay)
	s.caches.set(true)
	for range 2 {
		if _, err := store.Adjust(ctx, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	s.exec("update stock set version = version + 1 where book_id = 2") // left behind by another
	s.ripen()
	for range 2 {
		if err := relay.Round(ctx); err != nil || s.rows() != 3 {
			t.Errorf("%d rows while nobody answers, %v", s.rows(), err)
		}
	}
	if old, failed := metric(t, reg, "outbox_oldest_seconds"), metric(t, reg, "outbox_unconfirmed_total"); old < 2 || failed < 4 {
		t.Errorf("the oldest is %v s old, %v not confirmed", old, failed)
	}
	s.caches.set(false)
	if err := relay.Round(ctx); err != nil || s.rows() != 0 {
		t.Errorf("%d rows are left, %v", s.rows(), err)
	}
	s.covered(s.stockOf(1))
	s.covered(s.stockOf(2))
	if old := metric(t, reg, "outbox_oldest_seconds"); old != 0 {
		if err := relay.Round(ctx); err != nil || metric(t, reg, "outbox_oldest_seconds") != 0 {
			t.Errorf("the oldest is %v s old, %v", old, err)
		}
	}
}

func (s *shop) stockOf(id int64) coherence.Floor {
	s.t.Helper()
	return coherence.Floor{BookID: id, StockVersion: s.standing(id).StockVersion}
}

// Two instances that change the same books, and the rounds of both.
func TestTwoRelaysAtOnce(t *testing.T) {
	s := open(t)
	s.add(3)
	instances := []*shelf{s.instance(), s.instance()}
	var changing, rounds sync.WaitGroup
	over := make(chan struct{})
	for i, f := range instances {
		rounds.Go(func() {
			for {
				if err := f.relay.Round(ctx); err != nil {
					t.Error(err)
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
		for j := range 4 {
			changing.Go(func() {
				for k := range 10 {
					gid := fmt.Sprintf("g%dx%dx%d", i, j, k)
					if err := f.order(gid, books.Reserve, 1, 2, 3); err != nil {
						t.Error(err)
					}
					s.covered(coherence.Floor{BookID: 2, StockVersion: 2})
				}
			})
		}
	}
	changing.Wait()
	close(over)
	rounds.Wait()
	for _, id := range []int64{1, 2, 3} {
		if got, _ := s.caches.announced(id); got.StockVersion != 81 {
			t.Errorf("book %d is at %+v, announced %+v", id, s.standing(id), got)
		}
	}
	s.ripen()
	for _, f := range instances {
		if err := f.relay.Round(ctx); err != nil {
			t.Error(err)
		}
	}
	if n := s.rows(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestABacklogIsAnnouncedWhole(t *testing.T) {
	s := open(t)
	s.exec("insert into cache_outbox (book_id, stock_version, created_at) select 1 + n % 3000, n, now() - interval '1 hour' from generate_series(1, 12000) n")
	f := s.instance()
	if err := f.relay.Round(ctx); err != nil || s.rows() != 0 {
		t.Errorf("%d rows are left, %v", s.rows(), err)
	}
	for id, want := range map[int64]int64{1: 12_000, 2: 9001, 3000: 11_999} {
		if got, _ := s.caches.announced(id); got.StockVersion != want {
			t.Errorf("announced %+v, want %d", got, want)
		}
	}
}

func TestWithoutCachesRowsGoAway(t *testing.T) {
	s := open(t)
	s.add(2)
	relay := outbox.New(s.pool, nil, discard, nil)
	store := announce.Store(bookspg.New(s.pool), relay)
	if _, err := store.Adjust(ctx, 1, 1); err != nil {
		t.Fatal(err)
	}
	s.exec("insert into cache_outbox (book_id) select 1 from generate_series(1, 12000)")
	if err := relay.Committed(ctx, "g"); err != nil {
		t.Error(err)
	}
	if err := relay.Round(ctx); err != nil || s.rows() != 0 {
		t.Errorf("%d rows are left, %v", s.rows(), err)
	}
}

// Which books a branch has changed only the database knows. While it does not
// say, no caller may be answered that all is done.
func TestWithoutTheDatabaseTheAnswerIsLeftOpen(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	s := over(t, server.Database(t, bookspg.Migrations))
	s.add(2)
	dead, alive := s.mortal(), s.instance()
	if err := dead.order("g", books.Reserve, 1, 2); err != nil {
		t.Fatal(err)
	}
	server.Kill(t)
	if err := alive.relay.Committed(ctx, "g"); !fault.Unknown(err) {
		t.Errorf("committed: %v", err)
	}
	if err := alive.relay.Stepped(ctx, stepOf("s", "restock")); !fault.Unknown(err) {
		t.Errorf("stepped: %v", err)
	}
	if err := alive.relay.Round(ctx); err != nil { // it has logged that, once
		t.Error(err)
	}
	if _, calls := s.caches.announced(1); calls > 0 {
		t.Error("announced what is not known")
	}
	server.Restart(t)
	waittest.EventuallyNil(t, "the change is announced", func(ctx context.Context) error { return alive.relay.Committed(ctx, "g") })
	s.covered(s.stockOf(1))
}

func TestABranchThatTheDatabaseDoesNotShowIsRepeated(t *testing.T) {
	s := open(t)
	if err := s.instance().relay.Committed(ctx, "g"); fault.KindOf(err) != fault.OutcomeUnknown {
		t.Errorf("got %v", err)
	}
	if err := s.instance().relay.Stepped(ctx, stepOf("s", "reserve_stock")); err != nil {
		t.Errorf("a step that never was done: %v", err)
	}
}

// A change that is looked up in one batch with all others of its time.
func TestManyCommitsAtOnceEachAnnounceTheirOwn(t *testing.T) {
	s := open(t)
	s.add(20)
	f := s.instance()
	var all sync.WaitGroup
	for id := range int64(20) {
		all.Go(func() {
			if err := f.order(fmt.Sprint("g", id), books.Reserve, id+1); err != nil {
				t.Error(err)
			}
			s.covered(coherence.Floor{BookID: id + 1, StockVersion: 2})
		})
	}
	all.Wait()
	var ids []int64
	for id := range s.caches.floors {
		ids = append(ids, id)
	}
	if len(ids) != 20 || slices.Max(ids) != 20 {
		t.Errorf("announced %v", ids)
	}
}
