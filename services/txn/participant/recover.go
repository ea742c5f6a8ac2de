package participant

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// A branch in doubt is resolved within 3 s of its coordinator's death, or of the
// time at which there are a leader and a coordinator again. A branch younger than
// DoubtAfter is left to the coordinator that prepared it. Each scan queries the
// decision about every older one.
const (
	ScanEvery  = 700 * time.Millisecond
	DoubtAfter = 1200 * time.Millisecond

	queryTimeout = time.Second
	scanBatch    = 64 // branches in one scan
	scanWorkers  = 4  // connections for commits and aborts; the pool keeps the rest for the coordinator's own calls
)

// Verdict is what a coordinator decided about a transaction.
type Verdict string

// The verdicts.
const (
	VerdictCommit  Verdict = "commit"
	VerdictAbort   Verdict = "abort"
	VerdictPending Verdict = "pending" // its coordinator is alive: query again
)

// Answer is a coordinator's verdict, with what a message about the branch needs:
// a prepared transaction shows nothing but its gid.
type Answer struct {
	Verdict  Verdict
	Branches []string
	Deadline time.Time
}

// Coordinator is where a participant queries decisions. An error leaves the branch
// as it is: a missing answer is never taken for an abort.
type Coordinator interface {
	QueryDecision(ctx context.Context, gid, branch string) (Answer, error)
}

// Recovery resolves a participant's branches in doubt: it finds those that have
// been prepared for long, queries the decision, and carries it out.
type Recovery struct {
	participant *Participant
	coordinator Coordinator
	failing     bool // the last scan did

	oldest  prometheus.Gauge
	scanned prometheus.Gauge
	count   *prometheus.CounterVec
}

// NewRecovery makes the recovery of p's branches; lifecycle.Every runs its
// Round. reg may be nil.
func NewRecovery(p *Participant, coordinator Coordinator, reg *prometheus.Registry) *Recovery {
	r := &Recovery{
		participant: p, coordinator: coordinator,
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "branches_prepared_oldest_seconds",
			Help: "Age of the oldest prepared transaction in this service's database, 0 without any.",
		}),
		scanned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "branches_scanned_timestamp_seconds",
			Help: "When the database was last scanned for branches in doubt.",
		}),
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "branch_recoveries_total",
			Help: "Branches in doubt whose decision was queried, by answer; unknown: no answer, or one not yet carried out.",
		}, []string{"decision"}),
	}
	for _, d := range []Verdict{VerdictCommit, VerdictAbort, VerdictPending, unanswered} {
		r.count.WithLabelValues(string(d))
	}
	r.scanned.SetToCurrentTime() // before the first scan, its age counts from the start
	if reg != nil {
		reg.MustRegister(r.oldest, r.scanned, r.count)
	}
	return r
}

// unanswered is counted when a decision is not known or not carried out.
const unanswered Verdict = "unknown"

// Round is a Scan that logs a failure once, not in each round that it lasts.
func (r *Recovery) Round(ctx context.Context) error {
	err := r.Scan(ctx)
	if err != nil && !r.failing && ctx.Err() == nil {
		r.participant.log.WarnContext(ctx, "branches in doubt remain; trying again", "branch", r.participant.name, "error", err)
	}
	if err == nil && r.failing {
		r.participant.log.InfoContext(ctx, "branches in doubt can be recovered again", "branch", r.participant.name)
	}
	r.failing = err != nil
	return nil
}

// Scan resolves every branch in doubt, up to scanBatch of them. It draws these at
// random, so that branches that stay in doubt do not keep it from the others. Its
// error is that of the scan, or of one branch that remains.
func (r *Recovery) Scan(ctx context.Context) error {
	gids, err := r.doubtful(ctx)
	if err != nil {
		return err
	}
	queue, failed := make(chan string), make(chan error, len(gids))
	var workers sync.WaitGroup
	for range min(scanWorkers, len(gids)) {
		workers.Go(func() {
			for gid := range queue {
				if err := r.resolve(ctx, gid); err != nil {
					failed <- err
				}
			}
		})
	}
	for _, gid := range gids {
		queue <- gid
	}
	close(queue)
	workers.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// scan reads the prepared transactions of this database: the age of the oldest,
// and the gids of those older than $2 seconds that are this participant's ($1) and
// that its role may finish. A standby shows none, so the statement also tells
// whether this is one.
const scan = `
with here as (
	select gid, owner, extract(epoch from clock_timestamp() - prepared)::float8 as age
	from pg_prepared_xacts where database = current_database()
)
select
	pg_is_in_recovery(),
	coalesce((select max(age) from here), 0),
	array(select split_part(gid, ':', 1) from here
		where age > $2 and gid ~ ('^[a-z0-9]{1,64}:' || $1 || '$')
			and (owner = current_user or (select rolsuper from pg_roles where rolname = current_user))
		order by random() limit $3)`

func (r *Recovery) doubtful(ctx context.Context) (gids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	conn, err := r.participant.pool.Acquire(ctx)
	if err != nil {
		return nil, pg.Fault("connect", err)
	}
	defer conn.Release()
	var standby bool
	var oldest float64
	err = conn.QueryRow(ctx, scan, r.participant.name, DoubtAfter.Seconds(), scanBatch).Scan(&standby, &oldest, &gids)
	switch {
	case err != nil:
		return nil, pg.Fault("find branches in doubt", err)
	case standby:
		closeNow(conn)
		return nil, fault.New(fault.Unavailable, "the database has no leader here")
	}
	r.oldest.Set(max(0, oldest))
	r.scanned.SetToCurrentTime()
	return gids, nil
}

// resolve queries the decision about one branch and carries it out.
func (r *Recovery) resolve(ctx context.Context, gid string) error {
	p := r.participant
	a, err := r.query(ctx, gid)
	if err == nil {
		m := Message{GID: gid, Branch: p.name, Branches: a.Branches, Deadline: a.Deadline}
		switch a.Verdict {
		case VerdictCommit:
			err = p.Commit(ctx, m)
		case VerdictAbort:
			err = p.Abort(ctx, m)
		case VerdictPending:
		default:
			err = fault.Newf(fault.OutcomeUnknown, "the coordinator says %q", a.Verdict)
		}
	}
	if err != nil {
		a.Verdict = unanswered
	} else if a.Verdict != VerdictPending {
		p.log.LogAttrs(ctx, slog.LevelWarn, "a branch in doubt was recovered",
			slog.String("gid", gid), slog.String("branch", p.name), slog.String("decision", string(a.Verdict)))
	}
	r.count.WithLabelValues(string(a.Verdict)).Inc()
	return err
}

func (r *Recovery) query(ctx context.Context, gid string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	a, err := r.coordinator.QueryDecision(ctx, gid, r.participant.name)
	return a, fault.Wrap("query the decision about branch "+r.participant.name, err)
}
