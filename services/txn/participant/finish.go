package participant

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

const (
	codeNotThere = "42704" // no such prepared transaction: finished, or lost
	codeBusy     = "55000" // another call is finishing it
)

// abortRounds bounds how often an abort that meets a branch just being
// prepared begins again; each round waits at most for lock_timeout.
const abortRounds = 5

// Commit commits a prepared branch; repeated, it returns nil. A branch that is
// neither prepared nor committed is fault.Lost: operators have to resolve it.
func (p *Participant) Commit(ctx context.Context, m Message) error {
	err := p.finish(ctx, m, p.commit)
	if err == nil {
		err = notify(ctx, p.afterCommit, m.GID)
	}
	return p.recordBranch("commit", m, err)
}

// finish runs a commit or an abort on a connection of the pool, not of the slots:
// prepares that hold these may wait for the rows that it frees. It does not end
// with its caller.
func (p *Participant) finish(ctx context.Context, m Message, do func(context.Context, *pgxpool.Conn, Message) error) error {
	if err := p.check(m); err != nil {
		return err
	}
	ctx, cancel := detached(ctx)
	defer cancel()
	c, err := p.pool.Acquire(ctx)
	if err != nil {
		return pg.Fault("connect", err)
	}
	defer c.Release()
	return do(ctx, c, m)
}

func (p *Participant) commit(ctx context.Context, c *pgxpool.Conn, m Message) error {
	results, err := pipeline(ctx, c, statement{sql: "commit prepared " + p.quoted(m)})
	switch {
	case err != nil:
		return finishFault("commit prepared", err)
	case results[0].Err == nil:
		return nil
	case pg.Code(results[0].Err) != codeNotThere:
		return finishFault("commit prepared", results[0].Err)
	}
	s, err := p.readState(ctx, c, m)
	if err == nil && s.prepared && s.marker != statePrepared {
		return fault.New(fault.OutcomeUnknown, "the branch has only just been prepared")
	}
	if err == nil {
		// A leader that was deposed without its knowledge lacks what is prepared and committed elsewhere. The standbys'
		// acknowledgement proves that this was none when it was read.
		err = pg.AwaitReplication(ctx, c)
	}
	switch {
	case err != nil || s.marker == statePrepared:
		return err
	case s.marker == stateAborted:
		return lost("aborted", "commit of a branch that has been aborted")
	default:
		return lost("lost", "commit of a branch that is neither prepared nor committed")
	}
}

// lost is the fault of a branch that cannot follow the decision. Its details say
// in which state the branch is instead.
func lost(state, message string) error {
	f := fault.New(fault.Lost, message)
	f.Details = map[string]any{"branchState": state}
	return f
}

// An existing row keeps its state. The state that stands is returned.
const insertTombstone = `
insert into branch_markers as m (gid, branch, state, deadline)
values ($1, $2, 'aborted', $3::timestamptz)
on conflict (gid, branch) do update set state = m.state
returning state`

// Abort rolls a branch back, whether it is prepared, being prepared or unknown
// here, and leaves a tombstone; repeated, it returns nil. A branch that has been
// committed is fault.Lost.
func (p *Participant) Abort(ctx context.Context, m Message) error {
	return p.recordBranch("abort", m, p.finish(ctx, m, p.abort))
}

func (p *Participant) abort(ctx context.Context, c *pgxpool.Conn, m Message) error {
	for range abortRounds {
		done, err := p.abortOnce(ctx, c, m)
		if done || err != nil {
			return err
		}
	}
	return fault.New(fault.OutcomeUnknown, "the branch is still being prepared or finished")
}

// abortOnce rolls back what is prepared and inserts the tombstone. The insert
// waits for the marker of a prepare that is running. When it times out, done is
// false: the branch may be prepared by now, and the abort begins again. The
// server does not log that nothing is prepared, since that holds for every branch
// that refused.
func (p *Participant) abortOnce(ctx context.Context, c *pgxpool.Conn, m Message) (done bool, err error) {
	deadline := m.Deadline.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	results, err := pipeline(ctx, c,
		statement{sql: pg.Hush},
		statement{sql: "rollback prepared " + p.quoted(m)},
		statement{sql: pg.Unhush},
		statement{sql: insertTombstone, args: [][]byte{[]byte(m.GID), []byte(p.name), []byte(deadline)}},
	)
	if err != nil {
		return false, finishFault("rollback prepared", err)
	}
	rolledBack, unhushed, tombstone := results[1], results[2], results[3]
	if unhushed.Err != nil {
		closeNow(c) // its errors would be missing from the log
	}
	switch code := pg.Code(rolledBack.Err); code {
	case "", codeNotThere, codeBusy:
	default:
		return false, finishFault("rollback prepared", rolledBack.Err)
	}
	if tombstone.Err != nil {
		if pg.Code(tombstone.Err) == "55P03" {
			return false, nil
		}
		return false, finishFault("leave a tombstone", tombstone.Err)
	}
	if state := string(tombstone.Rows[0][0]); state != stateAborted {
		return false, lost("committed", "abort of a branch that has been committed")
	}
	return true, nil
}

// finishFault is the fault of a finish whose outcome is unknown. No error of the
// server is a refusal here: after a lock time-out, a busy transaction (55000) or a
// missing right, the branch still has to be finished.
func finishFault(op string, err error) error {
	if pg.Code(err) == codeBusy {
		return &fault.Error{
			Op: op, Kind: fault.Unavailable, Err: err, RetryAfter: time.Second,
			Message: "the branch is being finished by another call",
		}
	}
	out := fault.As(pg.Fault(op, err))
	if fault.Unknown(out) {
		return out
	}
	return &fault.Error{Op: op, Kind: fault.OutcomeUnknown, Err: err}
}
