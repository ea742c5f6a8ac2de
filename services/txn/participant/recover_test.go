package participant_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/txn/participant"
)

// coordinator gives the answers that it has and records the queries.
type coordinator struct {
	mu      sync.Mutex
	says    map[string]participant.Verdict
	err     error
	queries []string
}

func (o *coordinator) QueryDecision(_ context.Context, gid, branch string) (participant.Answer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queries = append(o.queries, gid+":"+branch)
	return participant.Answer{Verdict: o.says[gid], Branches: []string{name, "other"}, Deadline: time.Now().Add(time.Hour)}, o.err
}

// doubtful makes branches prepared, long enough ago for them to be in doubt.
func (f fixture) doubtful(n int) (all []participant.Message) {
	f.t.Helper()
	for i := range n {
		m := message()
		f.must("prepare", f.Prepare(context.Background(), m, take(1+i%2, 1)), "")
		all = append(all, m)
	}
	f.ripen()
	return all
}

// ripen returns when everything that is prepared is old enough to be in doubt.
func (f fixture) ripen() {
	f.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	const young = "select count(*) from pg_prepared_xacts where database = current_database() and prepared > clock_timestamp() - interval '1250 ms'"
	for f.value(young) > 0 {
		<-tick.C
	}
}

func TestDoubtEndsAsTheCoordinatorDecided(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	all := f.doubtful(2)
	f.must("locks", f.Prepare(ctx, message(), take(1, 1)), fault.Contended)
	o := &coordinator{says: map[string]participant.Verdict{all[0].GID: participant.VerdictCommit, all[1].GID: participant.VerdictAbort}}
	reg := prometheus.NewRegistry()
	r := participant.NewRecovery(f.Participant, o, reg)
	f.must("scan", r.Scan(ctx), "")
	if f.amount() != 99 || f.value("select amount from accounts where id = 2") != 100 || f.prepared() != 0 {
		t.Errorf("amount %d, prepared %d", f.amount(), f.prepared())
	}
	f.must("a late prepare", f.Prepare(ctx, all[1], take(2, 1)), fault.Aborted)
	// The coordinator comes too, and finds it done.
	f.must("commit", f.Commit(ctx, all[0]), "")
	f.must("abort", f.Abort(ctx, all[1]), "")
	want := `
# HELP branch_recoveries_total Branches in doubt whose decision was queried, by answer; unknown: no answer, or one not yet carried out.
# TYPE branch_recoveries_total counter
branch_recoveries_total{decision="abort"} 1
branch_recoveries_total{decision="commit"} 1
branch_recoveries_total{decision="pending"} 0
branch_recoveries_total{decision="unknown"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "branch_recoveries_total"); err != nil {
		t.Error(err)
	}
}

func TestNoAnswerIsNoAbort(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	m := f.doubtful(1)[0]
	o := &coordinator{says: map[string]participant.Verdict{}}
	r := participant.NewRecovery(f.Participant, o, nil)
	for what, answer := range map[string]struct {
		says participant.Verdict
		err  error
	}{
		"away":      {"", fault.New(fault.Unavailable, "")},
		"refused":   {"", fault.New(fault.NotFound, "")},
		"broken":    {"", errors.New("broken pipe")},
		"nonsense":  {"perhaps", nil},
		"nothing":   {"", nil},
		"undecided": {participant.VerdictPending, nil},
	} {
		o.says[m.GID], o.err = answer.says, answer.err
		if err := r.Scan(ctx); (err == nil) != (answer.says == participant.VerdictPending) {
			t.Errorf("%s: %v", what, err)
		}
		if err := r.Round(ctx); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if f.prepared() != 1 {
			t.Fatalf("%s: the branch was finished", what)
		}
	}
}

// A branch that is young, another participant's, in another database, or
// prepared by a role that this one is not, is left alone.
func TestOnlyOwnBranchesInDoubtAreQueried(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	other := fixtureOver(t, pgtest.Database(t, migrations))
	foreign := other.doubtful(1)[0]
	mine := f.doubtful(1)[0]
	conn := pgtest.Server(t).Conn(t, f.pool.Config().ConnConfig.Database)
	for _, sql := range []string{
		"begin", "update accounts set amount = amount where id = 2", "prepare transaction 'byhand" + mine.GID + "'",
		"begin", "select 1", "prepare transaction '" + mine.GID + ":others'",
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	young := message()
	f.must("prepare", f.Prepare(ctx, young, take(2, 1)), fault.Contended) // held by hand
	o := &coordinator{says: map[string]participant.Verdict{mine.GID: participant.VerdictPending, foreign.GID: participant.VerdictAbort}}
	f.must("scan", participant.NewRecovery(f.Participant, o, nil).Scan(ctx), "")
	if !slices.Equal(o.queries, []string{mine.GID + ":" + name}) {
		t.Errorf("queried %v", o.queries)
	}
}

func TestAYoungBranchIsLeftToItsCoordinator(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	f.must("prepare", f.Prepare(ctx, message(), take(1, 1)), "")
	o := &coordinator{}
	reg := prometheus.NewRegistry()
	r := participant.NewRecovery(f.Participant, o, reg)
	f.must("scan", r.Scan(ctx), "")
	if len(o.queries) > 0 && f.value("select count(*) from pg_prepared_xacts where prepared > clock_timestamp() - interval '1200 ms'") > 0 {
		t.Errorf("queried %v", o.queries)
	}
	if age := gauge(t, reg, "branches_prepared_oldest_seconds"); age <= 0 || age > 60 {
		t.Errorf("the oldest is %v s old", age)
	}
	if at := gauge(t, reg, "branches_scanned_timestamp_seconds"); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("scanned at %v", at)
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// More branches than a batch holds, scanned by two instances at once: they get
// in each other's way (55000), which costs a scan, never an outcome.
func TestManyBranchesAndTwoInstances(t *testing.T) {
	f, ctx := newFixture(t), context.Background()
	const n = 90
	o := &coordinator{says: map[string]participant.Verdict{}}
	var all []participant.Message
	for i := range n {
		m := message()
		f.must("prepare", f.Prepare(ctx, m, func(context.Context, pgx.Tx) error { return nil }), "")
		o.says[m.GID] = participant.VerdictCommit
		if i%2 == 0 {
			o.says[m.GID] = participant.VerdictAbort
		}
		all = append(all, m)
	}
	f.ripen()
	second := participant.New(f.pool, name, slog.New(slog.DiscardHandler), nil)
	for round := 0; f.prepared() > 0; round++ {
		if round == 10 {
			t.Fatalf("%d branches left", f.prepared())
		}
		var both sync.WaitGroup
		for _, p := range []*participant.Participant{f.Participant, second} {
			both.Go(func() { _ = participant.NewRecovery(p, o, nil).Scan(ctx) })
		}
		both.Wait()
	}
	for i, m := range all {
		if i%2 == 0 {
			f.must("abort", f.Abort(ctx, m), "")
		} else {
			f.must("commit", f.Commit(ctx, m), "")
		}
	}
}

// A session of its own finishes the branch at this moment, and waits for its
// standby: whether it will have been committed is not known yet.
func TestABranchThatIsBeingFinishedIsBusyNotBroken(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	f := fixtureOver(t, pgtest.Pool(t, server.DSN(t, migrations)))
	m := f.doubtful(1)[0]
	server.HoldCommits(t)
	first := make(chan error, 1)
	conn := server.Conn(t, f.pool.Config().ConnConfig.Database)
	go func() {
		_, err := conn.Exec(ctx, "commit prepared '"+m.GID+":"+name+"'")
		first <- err
	}()
	f.waitFor("select count(*) from pg_stat_activity where wait_event = 'SyncRep'", 1)
	f.must("commit", f.Commit(ctx, m), fault.Unavailable)
	if err := f.Abort(ctx, m); !fault.Unknown(err) || fault.KindOf(err) == fault.Internal {
		t.Errorf("abort: %v", err)
	}
	server.ReleaseCommits(t)
	if err := <-first; err != nil {
		t.Error(err)
	}
	f.must("commit", f.Commit(ctx, m), "")
}

func TestAScanWithoutADatabaseSaysSo(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{})
	f := fixtureOver(t, pgtest.Pool(t, server.DSN(t, migrations)))
	m := f.doubtful(1)[0]
	server.Stop(t)
	o := &coordinator{says: map[string]participant.Verdict{m.GID: participant.VerdictCommit}}
	r := participant.NewRecovery(f.Participant, o, nil)
	if err := r.Scan(context.Background()); !fault.Unknown(err) {
		t.Errorf("scanned: %v", err)
	}
	server.Restart(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.Scan(context.Background()) != nil {
		<-tick.C
	}
	if f.amount() != 99 {
		t.Errorf("amount %d", f.amount())
	}
}

// Doubt must be over 3 s after a coordinator died: its lease (1 s), or the age
// of the branch, then a scan, a question and its answer.
func TestTheTimesFit(t *testing.T) {
	if worst := participant.DoubtAfter + participant.ScanEvery; worst > 2*time.Second {
		t.Errorf("a branch is queried only after %s", worst)
	}
}

// A service logs in as one of two roles, and acts as a third, which owns what
// both prepared. What another role prepared it could not finish.
func TestOnlyWhatTheRoleMayFinishIsQueried(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := pgtest.DSN(t, migrations)
	admin := fixtureOver(t, pgtest.Pool(t, dsn))
	owner := "owner_" + strings.ToLower(message().GID[:8])
	for _, sql := range []string{"create role " + owner, "grant all on accounts, branch_markers to " + owner} {
		if _, err := admin.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	f := fixtureOver(t, pgtest.Pool(t, dsn+"&role="+owner))
	mine, foreign := message(), message()
	f.must("prepare", f.Prepare(ctx, mine, take(1, 1)), "")
	admin.must("prepare", admin.Prepare(ctx, foreign, take(2, 1)), "")
	f.ripen()
	o := &coordinator{says: map[string]participant.Verdict{mine.GID: participant.VerdictCommit, foreign.GID: participant.VerdictCommit}}
	f.must("scan", participant.NewRecovery(f.Participant, o, nil).Scan(ctx), "")
	if !slices.Equal(o.queries, []string{mine.GID + ":" + name}) || f.prepared() != 1 {
		t.Errorf("queried %v, %d left", o.queries, f.prepared())
	}
	if err := f.Commit(ctx, foreign); !fault.Unknown(err) {
		t.Errorf("a commit by the other role: %v", err)
	}
	f.must("scan", participant.NewRecovery(admin.Participant, o, nil).Scan(ctx), "") // a superuser may finish everything
	if f.prepared() != 0 {
		t.Error("the other role's is still there")
	}
}
