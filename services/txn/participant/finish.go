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

// Commit commits a prepared branch; asked again it returns nil. A branch that
// is neither prepared nor committed is Lost: an outcome for people to look at.
func (p *Participant) Commit(ctx context.Context, m Message) error {
	err := p.commit(ctx, m)
	if err == nil {
		err = notify(ctx, p.afterCommit, m.GID)
	}
	return p.recordBranch("commit", m, err)
}

func (p *Participant) commit(ctx context.Context, m Message) error {
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
	switch {
	case err != nil:
		return err
	case s.marker == statePrepared:
		return pg.AwaitReplication(ctx, c)
	case s.prepared:
		return fault.New(fault.OutcomeUnknown, "the branch has only just been prepared")
	case s.marker == stateAborted:
		return lost("aborted", "commit of a branch that has been aborted")
	default:
		return lost("lost", "commit of a branch that is neither prepared nor committed")
	}
}

// lost is the fault of a branch that cannot follow the decision, with what
// became of it instead: whoever looks into it begins there.
func lost(state, message string) error {
	f := fault.New(fault.Lost, message)
	f.Details = map[string]any{"branchState": state}
	return f
}

// A row that is there keeps its state, which is returned either way.
const buryBranch = `
insert into branch_markers as m (gid, branch, state, deadline)
values ($1, $2, 'aborted', $3::timestamptz)
on conflict (gid, branch) do update set state = m.state
returning state`

// Abort rolls a branch back, whether it is prepared, being prepared or not yet
// heard of, and leaves a tombstone; asked again it returns nil. A branch that
// has been committed is Lost.
func (p *Participant) Abort(ctx context.Context, m Message) error {
	return p.recordBranch("abort", m, p.abort(ctx, m))
}

func (p *Participant) abort(ctx context.Context, m Message) error {
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
	for range abortRounds {
		done, err := p.abortOnce(ctx, c, m)
		if done || err != nil {
			return err
		}
	}
	return fault.New(fault.OutcomeUnknown, "the branch is still being prepared or finished")
}

// abortOnce rolls back what is prepared and inserts the tombstone. The insert
// waits for a marker that a running prepare has inserted; when it times out the
// branch may be prepared by then: done is false and the round begins again. That
// nothing is prepared is what becomes of every refused branch: it is not logged.
func (p *Participant) abortOnce(ctx context.Context, c *pgxpool.Conn, m Message) (done bool, err error) {
	deadline := m.Deadline.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	results, err := pipeline(ctx, c,
		statement{sql: pg.Hush},
		statement{sql: "rollback prepared " + p.quoted(m)},
		statement{sql: pg.Unhush},
		statement{sql: buryBranch, args: [][]byte{[]byte(m.GID), []byte(p.name), []byte(deadline)}},
	)
	if err != nil {
		return false, finishFault("rollback prepared", err)
	}
	rolledBack, unhushed, buried := results[1], results[2], results[3]
	if unhushed.Err != nil {
		closeNow(c) // its errors would be missing from the log
	}
	switch code := pg.Code(rolledBack.Err); code {
	case "", codeNotThere, codeBusy:
	default:
		return false, finishFault("rollback prepared", rolledBack.Err)
	}
	if buried.Err != nil {
		if pg.Code(buried.Err) == "55P03" {
			return false, nil
		}
		return false, finishFault("leave a tombstone", buried.Err)
	}
	if state := string(buried.Rows[0][0]); state != stateAborted {
		return false, lost("committed", "abort of a branch that has been committed")
	}
	return true, nil
}

// finishFault is the fault of a finish whose outcome is open. What the server says
// about it never is a decided "no": lock time-outs, busy transactions (55000)
// and missing rights all mean that the branch is still to be finished.
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
