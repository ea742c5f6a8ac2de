package participant_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/txn/participant"
)

// ear hears of commits, and says err.
type ear struct {
	f     fixture
	heard []string
	err   error
}

func (e *ear) tell(ctx context.Context, gid string) error {
	if e.f.amount() == 100 {
		e.f.t.Error("told before the commit")
	}
	if err := ctx.Err(); err != nil {
		e.f.t.Errorf("told in a hurry: %v", err)
	}
	e.heard = append(e.heard, gid)
	return e.err
}

// listening is a participant whose commits are heard of.
func listening(t *testing.T) (fixture, *ear) {
	t.Helper()
	f := newFixture(t)
	e := &ear{f: f}
	f.Participant = participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.OnCommit(e.tell))
	return f, e
}

func TestCommitsAreToldOfBeforeTheyAreAnswered(t *testing.T) {
	f, e := listening(t)
	ctx, m, other := context.Background(), message(), message()
	f.must("prepare", f.Prepare(ctx, m, take(1, 10)), "")
	if len(e.heard) > 0 {
		t.Error("told of a branch that is only prepared")
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	// The client has gone away, the database is not to be reached, and then is.
	e.err = errors.New("no answer")
	if err := f.Commit(gone, m); !fault.Unknown(err) {
		t.Errorf("commit: %v", err)
	}
	e.err = fault.New(fault.NotFound, "a refusal of whoever was asked is none of the branch's")
	if err := f.Commit(ctx, m); !fault.Unknown(err) {
		t.Errorf("commit: %v", err)
	}
	e.err = nil
	f.must("commit again", f.Commit(ctx, m), "")
	f.must("prepare another", f.Prepare(ctx, other, take(1, 10)), "")
	f.must("abort", f.Abort(ctx, other), "")
	f.must("commit what is aborted", f.Commit(ctx, other), fault.Lost)
	if want := []string{m.GID, m.GID, m.GID}; !slices.Equal(e.heard, want) {
		t.Errorf("heard of %v, want %v", e.heard, want)
	}
}

func TestRecoveredCommitsAreToldOfToo(t *testing.T) {
	f, e := listening(t)
	m := f.doubtful(1)[0]
	o := &oracle{says: map[string]participant.Decision{m.GID: participant.DecidedCommit}}
	f.must("scan", participant.NewRecovery(f.Participant, o, nil).Scan(context.Background()), "")
	if !slices.Equal(e.heard, []string{m.GID}) {
		t.Errorf("heard of %v", e.heard)
	}
}

func TestPreparesTakeTurnsWithOthersOfTheirPool(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	slots := pg.NewSlots(f.pool)
	p := participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil, participant.Sharing(slots))
	var releases []func()
	for range f.pool.Config().MaxConns * 3 / 4 {
		_, release, err := slots.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	m := message()
	f.must("prepare", p.Prepare(short, m, take(1, 10)), fault.DeadlineExceeded)
	for _, release := range releases {
		release()
	}
	f.must("prepare", p.Prepare(ctx, m, take(1, 10)), "")
	f.must("abort", p.Abort(ctx, m), "")
}
