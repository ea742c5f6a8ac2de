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

// A branch in doubt is resolved within 3 s of its coordinator's death, or of
// there being a leader and a coordinator again. Until a branch is DoubtAfter
// old, it is left to the coordinator that prepared it; then each scan asks about
// it.
const (
	ScanEvery  = 700 * time.Millisecond
	DoubtAfter = 1200 * time.Millisecond

	askTimeout = time.Second
	askBatch   = 64 // branches asked about in one scan
	askAtOnce  = 4  // connections for the answers: the pool keeps some for commits
)

// Decision is what a coordinator says about a transaction.
type Decision string

// The decisions.
const (
	DecidedCommit Decision = "commit"
	DecidedAbort  Decision = "abort"
	Undecided     Decision = "pending" // its coordinator is alive: ask again
)

// Verdict is a coordinator's answer. Branches and deadline come with it, for
// what is prepared shows nothing but its gid.
type Verdict struct {
	Decision Decision
	Branches []string
	Deadline time.Time
}

// Asker reaches whoever decides about transactions. Any error leaves the
// branch as it is: no answer is never taken for an abort.
type Asker interface {
	Ask(ctx context.Context, gid, branch string) (Verdict, error)
}

// Recovery ends the doubt of a participant's branches: what is prepared in its
// database and has not been finished, it asks about.
type Recovery struct {
	participant *Participant
	asker       Asker
	failing     bool // the last scan did

	oldest  prometheus.Gauge
	scanned prometheus.Gauge
	count   *prometheus.CounterVec
}

// NewRecovery makes the recovery of p's branches; lifecycle.Every runs its
// Round. reg may be nil.
func NewRecovery(p *Participant, asker Asker, reg *prometheus.Registry) *Recovery {
	r := &Recovery{
		participant: p, asker: asker,
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
			Help: "Branches in doubt that were asked about, by decision; unknown is no answer, or one not yet carried out.",
		}, []string{"decision"}),
	}
	for _, d := range []Decision{DecidedCommit, DecidedAbort, Undecided, unanswered} {
		r.count.WithLabelValues(string(d))
	}
	r.scanned.SetToCurrentTime() // its age is that of the trouble, not of the epoch
	if reg != nil {
		reg.MustRegister(r.oldest, r.scanned, r.count)
	}
	return r
}

// unanswered is counted where a decision is not known or not carried out.
const unanswered Decision = "unknown"

// Round is a Scan that logs: trouble that lasts is told once, not in each round.
func (r *Recovery) Round(ctx context.Context) error {
	err := r.Scan(ctx)
	if err != nil && !r.failing && ctx.Err() == nil {
		r.participant.log.WarnContext(ctx, "branches in doubt remain; trying on", "branch", r.participant.name, "error", err)
	}
	if err == nil && r.failing {
		r.participant.log.InfoContext(ctx, "branches in doubt can be recovered again", "branch", r.participant.name)
	}
	r.failing = err != nil
	return nil
}

// Scan asks about every branch in doubt, up to a batch drawn at random, so that
// none stands in the others' way, and carries the answers out. Its error is
// that of the scan, or of one branch that remains.
func (r *Recovery) Scan(ctx context.Context) error {
	gids, err := r.doubtful(ctx)
	if err != nil {
		return err
	}
	queue, failed := make(chan string), make(chan error, len(gids))
	var workers sync.WaitGroup
	for range min(askAtOnce, len(gids)) {
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

// scan sees the prepared transactions of this database: the age of the oldest
// of all, and of those older than $2 seconds the gids that are this
// participant's ($1) and that its role may finish. A standby shows none at
// all, so the same statement tells whether this is one.
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
	err = conn.QueryRow(ctx, scan, r.participant.name, DoubtAfter.Seconds(), askBatch).Scan(&standby, &oldest, &gids)
	switch {
	case err != nil:
		return nil, pg.Fault("look for branches in doubt", err)
	case standby:
		closeNow(conn)
		return nil, fault.New(fault.Unavailable, "the database has no leader here")
	}
	r.oldest.Set(max(0, oldest))
	r.scanned.SetToCurrentTime()
	return gids, nil
}

// resolve asks about one branch and carries out what it is told.
func (r *Recovery) resolve(ctx context.Context, gid string) error {
	p := r.participant
	v, err := r.ask(ctx, gid)
	if err == nil {
		m := Message{GID: gid, Branch: p.name, Branches: v.Branches, Deadline: v.Deadline}
		switch v.Decision {
		case DecidedCommit:
			err = p.Commit(ctx, m)
		case DecidedAbort:
			err = p.Abort(ctx, m)
		case Undecided:
		default:
			err = fault.Newf(fault.OutcomeUnknown, "the coordinator says %q", v.Decision)
		}
	}
	if err != nil {
		v.Decision = unanswered
	} else if v.Decision != Undecided {
		p.log.LogAttrs(ctx, slog.LevelWarn, "a branch in doubt was recovered",
			slog.String("gid", gid), slog.String("branch", p.name), slog.String("decision", string(v.Decision)))
	}
	r.count.WithLabelValues(string(v.Decision)).Inc()
	return err
}

func (r *Recovery) ask(ctx context.Context, gid string) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	v, err := r.asker.Ask(ctx, gid, r.participant.name)
	return v, fault.Wrap("ask about branch "+r.participant.name, err)
}
