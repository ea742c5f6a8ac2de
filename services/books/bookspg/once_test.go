package bookspg_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
)

func key(text string) books.Key {
	return books.Key{Caller: "c", Key: text, RequestHash: []byte("hash")}
}

var done = books.Outcome{Status: 200, Header: map[string]string{"Location": "/x"}, Body: []byte("done")}

// adjust is work that takes one copy of book 1.
func adjust(refused bool, fail error) books.Work {
	return func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
		if _, err := store.Adjust(ctx, 1, -1); err != nil {
			return books.Outcome{}, false, err
		}
		return done, refused, fail
	}
}

func TestOnceKeepsTheChangeAndItsOutcomeTogether(t *testing.T) {
	s := open(t)
	s.add(5)
	ctx := context.Background()
	for _, want := range []bool{false, true} {
		got, replayed, err := s.Once(ctx, key("k"), adjust(false, nil))
		if err != nil || replayed != want || got.Status != 200 || string(got.Body) != "done" || got.Header["Location"] != "/x" {
			t.Errorf("got %+v %v %v", got, replayed, err)
		}
	}
	if s.left(1) != 4 {
		t.Errorf("%d left", s.left(1))
	}
	other := key("k")
	other.RequestHash = []byte("other")
	_, _, err := s.Once(ctx, other, adjust(false, nil))
	wantKind(t, err, fault.IdempotencyKeyReused)
	s.balanced()
}

func TestOnceUndoesARefusalButKeepsItsOutcome(t *testing.T) {
	s := open(t)
	s.add(5)
	if _, _, err := s.Once(context.Background(), key("k"), adjust(true, nil)); err != nil {
		t.Fatal(err)
	}
	_, replayed, err := s.Once(context.Background(), key("k"), adjust(false, nil))
	if err != nil || !replayed || s.left(1) != 5 {
		t.Errorf("replayed %v, %v, %d left", replayed, err, s.left(1))
	}
}

func TestOnceBindsNothingToAnError(t *testing.T) {
	s := open(t)
	s.add(5)
	broken := errors.New("broken")
	if _, _, err := s.Once(context.Background(), key("k"), adjust(false, broken)); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	_, replayed, err := s.Once(context.Background(), key("k"), adjust(false, nil))
	if err != nil || replayed || s.left(1) != 4 {
		t.Errorf("replayed %v, %v, %d left", replayed, err, s.left(1))
	}
}

func TestOnceSurvivesARefusalByTheDatabase(t *testing.T) {
	s := open(t)
	s.add(5)
	work := func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
		_, err := store.Create(ctx, draft(1, 1)) // its source id is taken: the statement fails
		wantKind(t, err, fault.InvalidField)
		return books.Outcome{Status: 422}, true, nil
	}
	for range 2 {
		if got, _, err := s.Once(context.Background(), key("k"), work); err != nil || got.Status != 422 {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestOnceTellsThatTheFirstIsStillRunning(t *testing.T) {
	s := open(t)
	s.add(5)
	running, finish := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		_, _, err := s.Once(context.Background(), key("k"), func(ctx context.Context, store books.Store) (books.Outcome, bool, error) {
			close(running)
			for { // a session that idles in its transaction would be ended
				select {
				case <-finish:
					return done, false, nil
				default:
					if _, err := store.Available(ctx, 1); err != nil {
						return books.Outcome{}, false, err
					}
				}
			}
		})
		first <- err
	}()
	<-running
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _, err := s.Once(ctx, key("k"), adjust(false, nil))
	wantKind(t, err, fault.InProgress)
	close(finish)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestKeysEndAfterTheirLife(t *testing.T) {
	s := open(t)
	s.add(5)
	ctx := context.Background()
	age := func() {
		t.Helper()
		if _, err := s.pool.Exec(ctx, "update idempotency_keys set expires_at = now() - interval '2 hours'"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, replayed, err := s.Once(ctx, key("k"), adjust(false, nil)); err != nil || replayed {
			t.Errorf("replayed %v, %v", replayed, err)
		}
		age()
	}
	cleaner := clean.New(s.pool, slog.New(slog.DiscardHandler), nil, bookspg.Cleaners()...)
	if err := cleaner.Round(ctx); err != nil || s.number("select count(*) from idempotency_keys") != 0 || s.left(1) != 3 {
		t.Errorf("%v, %d left", err, s.left(1))
	}
}
