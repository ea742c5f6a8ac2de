package participant

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Prepare makes the change and prepares it. For a branch that is prepared or
// committed already it does nothing and returns nil. For one that is aborted, or when
// the database's clock is past the deadline, it returns fault.Aborted. A fault that
// work returns rolls the branch back and is returned.
func (p *Participant) Prepare(ctx context.Context, m Message, work Work) error {
	return p.PrepareWhole(ctx, m, nil, work)
}

// PrepareWhole is Prepare in a single round trip, from the marker to the prepared
// transaction: no row is locked while messages are on their way, and a participant
// that freezes has done all or nothing. Each of the statements of whole must fail if
// something prevents it; then all is rolled back, and work finds out what it was.
// With nil there are no such statements, and work alone makes the change.
func (p *Participant) PrepareWhole(ctx context.Context, m Message, whole *pgx.Batch, work Work) error {
	return p.recordBranch("prepare", m, p.prepare(ctx, m, whole, work))
}

func (p *Participant) prepare(ctx context.Context, m Message, whole *pgx.Batch, work Work) error {
	if err := p.check(m); err != nil {
		return err
	}
	c, release, err := p.slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if whole != nil {
		if done, err := p.inOneRoundTrip(ctx, c, m, whole.QueuedQueries); done || err != nil {
			return err
		}
	}
	return p.stepByStep(ctx, c, m, work)
}

// inOneRoundTrip sends the whole prepare at once. done is false if a statement
// failed: stepByStep then finds out which and why.
func (p *Participant) inOneRoundTrip(ctx context.Context, c *pgxpool.Conn, m Message, change []*pgx.QueuedQuery) (done bool, err error) {
	err = p.sendWhole(ctx, c, m, change)
	switch {
	case err == nil:
		return true, nil
	case pg.Code(err) == "":
		closeNow(c)
		return false, &fault.Error{Op: "prepare at once", Kind: fault.OutcomeUnknown, Err: err}
	}
	rollback(ctx, c)
	if f := fault.As(pg.Fault("prepare at once", err)); f.Kind == fault.Contended {
		return true, p.preparedOr(ctx, c, m, f)
	}
	return false, nil
}

func (p *Participant) stepByStep(ctx context.Context, c *pgxpool.Conn, m Message, work Work) error {
	marked, err := p.begin(ctx, c, m)
	if err != nil || !marked {
		return err
	}
	if err := work(ctx, transaction{c.Conn()}); err != nil {
		rollback(ctx, c)
		return pg.Fault("change", err)
	}
	return p.seal(ctx, c, m)
}

// The state is read and the marker inserted by one statement. The state comes
// first because a blind insert of a repeat would wait for the prepared one's
// marker. On a standby, which shows no prepared transactions at all, the insert
// fails. A marker with another deadline belongs to an old transaction of the same
// name. The two must not be confused, so this one is aborted.
const markBranch = `
with found as materialized (
	select
		exists (select from pg_prepared_xacts
			where gid = $1::text || ':' || $2::text and database = current_database()) as prepared,
		(select case when deadline = $3 then state else 'aborted' end
			from branch_markers where gid = $1 and branch = $2) as state,
		clock_timestamp() >= $3::timestamptz as late
), mark as (
	insert into branch_markers (gid, branch, state, deadline)
	select $1, $2, 'prepared', $3 from found where not prepared and state is null and not late
	on conflict do nothing
	returning 1
)
`

const (
	markOrTell = markBranch + `select prepared, coalesce(state, ''), late, exists (select from mark) from found`
	// markOrFail fails unless the marker was inserted.
	markOrFail = markBranch + `select case when count(*) = 1 then 1 else ` + pg.Refuse + ` end from mark`
)

// begin opens the transaction and inserts the marker: true when the change may
// be made, false when there is nothing left to do.
func (p *Participant) begin(ctx context.Context, c *pgxpool.Conn, m Message) (bool, error) {
	// A second round is needed only when another call about the same branch
	// ended between the read and the insert.
	for range 3 {
		s, err := p.mark(ctx, c, m)
		switch {
		case fault.KindOf(err) == fault.Contended && err != nil:
			// Another prepare of this branch has locked the marker, and may be done by now.
			rollback(ctx, c)
			return false, p.preparedOr(ctx, c, m, err)
		case err != nil:
			rollback(ctx, c)
			return false, err
		case s.marked:
			return true, nil
		}
		rollback(ctx, c)
		switch {
		case s.prepared, s.marker == statePrepared:
			return false, pg.AwaitReplication(ctx, c)
		case s.marker == stateAborted:
			return false, fault.New(fault.Aborted, "the transaction has been aborted")
		case s.late:
			return false, fault.New(fault.Aborted, "the transaction's deadline has passed")
		}
	}
	return false, fault.New(fault.Contended, "another call about the same branch is running")
}

func (p *Participant) mark(ctx context.Context, c *pgxpool.Conn, m Message) (s branchState, err error) {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(markOrTell, m.GID, p.name, m.Deadline).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.prepared, &s.marker, &s.late, &s.marked)
	})
	return s, send(ctx, c, "mark", batch)
}

// preparedOr returns nil if another call has prepared the branch meanwhile, and
// contended if rows or the marker are still locked.
func (p *Participant) preparedOr(ctx context.Context, c *pgxpool.Conn, m Message, contended error) error {
	s, err := p.readState(ctx, c, m)
	switch {
	case err != nil:
		return err
	case s.prepared, s.marker == statePrepared:
		return pg.AwaitReplication(ctx, c)
	case s.marker == stateAborted:
		return fault.New(fault.Aborted, "the transaction has been aborted")
	default:
		return contended
	}
}

// seal prepares the transaction. Without an answer the outcome is unknown.
func (p *Participant) seal(ctx context.Context, c *pgxpool.Conn, m Message) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	tag, err := c.Exec(ctx, "prepare transaction "+p.quoted(m))
	switch {
	case err != nil && pg.Code(err) == "":
		closeNow(c)
		return &fault.Error{Op: "prepare transaction", Kind: fault.OutcomeUnknown, Err: err}
	case err != nil:
		return pg.Fault("prepare transaction", err)
	case tag.String() != "PREPARE TRANSACTION":
		// What the server answers when a statement before had failed.
		return pg.Fault("prepare transaction", errors.New("rolled back: a failed statement was overlooked"))
	}
	return nil
}
