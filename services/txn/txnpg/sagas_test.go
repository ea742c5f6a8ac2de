package txnpg_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/clean"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/txnpg"
)

type sagaFixture struct {
	txnpg.Sagas

	t    *testing.T
	pool *pgxpool.Pool
}

func openSagas(t *testing.T) sagaFixture {
	t.Helper()
	t.Parallel()
	pool := pgtest.Database(t, txnpg.Migrations)
	return sagaFixture{txnpg.NewSagas(pool), t, pool}
}

func newSaga(key string) saga.New {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return saga.New{
		Saga: saga.Saga{
			ID: uuid.NewString(), Definition: "trip", Caller: "c", Key: key, State: saga.Running, Version: 1,
			Steps: []saga.Step{{Name: "one", State: saga.Doing, StartedAt: now}, {Name: "two", State: saga.Pending}},
			Data:  []byte(`{"a": 1}`), Deadline: now.Add(time.Hour), CreatedAt: now, UpdatedAt: now,
		},
		RequestHash: []byte{1}, Outcome: saga.Outcome{Status: 202, Body: []byte(`{"id":"x"}`)}, Wake: saga.Wake(time.Minute),
	}
}

func (f sagaFixture) create(key string) saga.Saga {
	f.t.Helper()
	n := newSaga(key)
	if created, err := f.Create(f.t.Context(), n); err != nil || !created {
		f.t.Fatalf("create %s: %v, %v", key, created, err)
	}
	return n.Saga
}

func (f sagaFixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.pool.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}

func (f sagaFixture) advance(changes ...saga.Change) []bool {
	f.t.Helper()
	applied, err := f.Advance(f.t.Context(), changes)
	if err != nil {
		f.t.Fatal(err)
	}
	return applied
}

func finished(s saga.Saga) saga.Change {
	s.State, s.FinishedAt = saga.Completed, s.CreatedAt.Add(time.Second)
	s.Steps = slices.Clone(s.Steps)
	s.Steps[0].State = saga.Done
	return saga.Change{Saga: s, Wake: saga.Never, News: saga.News{State: s.State, Steps: s.Steps[:1]}}
}

func TestASagaIsReadAsItWasStored(t *testing.T) {
	f := openSagas(t)
	s := f.create("k")
	got, err := f.Get(t.Context(), "trip", s.ID)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(s) {
		t.Errorf("%v\n%+v\n%+v", err, got, s)
	}
	for _, missing := range []struct{ definition, id string }{{"trip", uuid.NewString()}, {"gift", s.ID}} {
		if _, err := f.Get(t.Context(), missing.definition, missing.id); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v: %v", missing, err)
		}
		if _, _, err := f.News(t.Context(), missing.definition, missing.id, 0); fault.KindOf(err) != fault.NotFound {
			t.Errorf("news of %v: %v", missing, err)
		}
	}
}

// The engine's times and those that the database compares come from one clock.
func TestNowIsTheDatabasesClock(t *testing.T) {
	f := openSagas(t)
	clock := func() (at time.Time) {
		if err := f.pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	before := clock()
	now, err := f.Now(t.Context())
	if after := clock(); err != nil || now.Before(before) || now.After(after) || now.Location() != time.UTC {
		t.Errorf("got %v (%v), want it between %v and %v", now, err, before, after)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if now, err := f.Now(ctx); err == nil {
		t.Errorf("got %v without an answer", now)
	}
}

func TestAKeyStandsForOneSagaForADay(t *testing.T) {
	f := openSagas(t)
	s := f.create("k")
	if created, err := f.Create(t.Context(), newSaga("k")); created || err != nil {
		t.Errorf("created again: %v", err)
	}
	found, err := f.Find(t.Context(), "c", "k")
	if err != nil || found == nil || found.ID != s.ID || found.Outcome.Status != 202 || string(found.RequestHash) != "\x01" {
		t.Errorf("found %+v, %v", found, err)
	}
	f.exec("UPDATE sagas SET created_at = created_at - interval '25 hours'")
	if found, err := f.Find(t.Context(), "c", "k"); found != nil || err != nil {
		t.Errorf("found %+v, %v", found, err)
	}
	f.create("k")
	if got, err := f.Get(t.Context(), "trip", s.ID); err != nil || got.Key != "" {
		t.Errorf("the old saga has the key %q, %v", got.Key, err)
	}
}

func TestAChangeIsMadeToTheVersionThatWasRead(t *testing.T) {
	f := openSagas(t)
	a, b := f.create("a"), f.create("b")
	c := a
	c.State, c.Cause, c.Failures = saga.Compensating, &saga.Cause{Code: "cancelled"}, 3
	if got := f.advance(finished(b), saga.Change{Saga: c, News: saga.News{State: c.State}}); !got[0] || !got[1] {
		t.Fatalf("applied %v", got)
	}
	if got := f.advance(finished(a), finished(b)); got[0] || got[1] {
		t.Errorf("applied %v to what had changed", got)
	}
	got, err := f.Get(t.Context(), "trip", a.ID)
	if err != nil || got.Version != 2 || got.State != saga.Compensating || got.Cause.Code != "cancelled" || got.Failures != 3 {
		t.Errorf("%v %+v", err, got)
	}
	news, more, err := f.News(t.Context(), "trip", b.ID, 0)
	if err != nil || more || len(news) != 2 || news[0].Seq != 1 || news[1].News.State != saga.Completed || len(news[1].News.Steps) != 1 {
		t.Errorf("news %+v, more %v, %v", news, more, err)
	}
	if news, more, err := f.News(t.Context(), "trip", a.ID, 1); err != nil || !more || len(news) != 1 || news[0].Seq != 2 {
		t.Errorf("news %+v, more %v, %v", news, more, err)
	}
	if counts, err := f.Unfinished(t.Context()); err != nil || counts["trip"][saga.Compensating] != 1 || len(counts["trip"]) != 1 {
		t.Errorf("unfinished %v, %v", counts, err)
	}
}

func TestWhatIsDueIsClaimedByOne(t *testing.T) {
	f := openSagas(t)
	for i := range 20 {
		f.create(fmt.Sprint(i))
	}
	over := f.create("over")
	f.advance(finished(over))
	if claimed, err := f.Claim(t.Context(), 10, time.Minute); err != nil || len(claimed) != 0 {
		t.Errorf("claimed %d before their time, %v", len(claimed), err)
	}
	f.exec("UPDATE sagas SET wake_at = now() - interval '1 second' WHERE wake_at IS NOT NULL")
	var mu sync.Mutex
	seen := map[string]int64{}
	var claiming sync.WaitGroup
	for range 4 {
		claiming.Go(func() {
			for {
				claimed, err := f.Claim(t.Context(), 3, time.Minute)
				if err != nil {
					t.Error(err)
				}
				if len(claimed) == 0 {
					return
				}
				mu.Lock()
				for _, s := range claimed {
					seen[s.ID] += s.Version
				}
				mu.Unlock()
			}
		})
	}
	claiming.Wait()
	for id, version := range seen {
		if version != 2 {
			t.Errorf("%s was claimed at version %d", id, version)
		}
	}
	if len(seen) < 20 { // a row that another claim held is passed over
		f.t.Logf("%d of 20 in the first round", len(seen))
	}
}

func TestOldSagasArePrunedWithTheirNews(t *testing.T) {
	f := openSagas(t)
	old, young := f.create("old"), f.create("young")
	f.advance(finished(old))
	f.exec("UPDATE sagas SET finished_at = finished_at - interval '36 days' WHERE id = $1", old.ID)
	cleaner := clean.New(f.pool, slog.New(slog.DiscardHandler), nil, txnpg.Cleaners(month, month)...)
	if err := cleaner.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sagas, events int
	if err := f.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM sagas), (SELECT count(*) FROM saga_events)").Scan(&sagas, &events); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), "trip", young.ID); err != nil || sagas != 1 || events != 1 {
		t.Errorf("%d sagas, %d events, %v", sagas, events, err)
	}
}

func TestASagaIsPostponedAtItsVersion(t *testing.T) {
	f := openSagas(t)
	held, changed := f.create("held"), f.create("changed")
	f.exec("UPDATE sagas SET wake_at = now()")
	f.exec("UPDATE sagas SET version = version + 1 WHERE id = $1", changed.ID)
	if err := f.Postpone(t.Context(), []saga.Saga{held, changed}, time.Minute); err != nil {
		t.Fatal(err)
	}
	claimed, err := f.Claim(t.Context(), 10, time.Minute)
	if err != nil || len(claimed) != 1 || claimed[0].ID != changed.ID {
		t.Errorf("claimed %+v, %v", claimed, err)
	}
	if got, err := f.Get(t.Context(), "trip", held.ID); err != nil || got.Version != held.Version || got.State != held.State {
		t.Errorf("it is %+v, %v", got, err)
	}
}
