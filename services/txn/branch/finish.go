package branch

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// The states of a marker row.
const (
	statePrepared = "prepared" // visible only once the branch is committed
	stateAborted  = "aborted"
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
		err = p.tell(ctx, m)
	}
	return p.record("commit", m, err)
}

// tell has others hear of a commit. The connection that made it is free for
// somebody else meanwhile.
func (p *Participant) tell(ctx context.Context, m Message) error {
	if p.committed == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := p.committed(ctx, m.GID); err != nil {
		return unknown("tell of the commit", err)
	}
	return nil
}

func (p *Participant) commit(ctx context.Context, m Message) error {
	if err := p.check(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return pg.Fault("connect", err)
	}
	defer conn.Release()
	results, err := send(ctx, conn, statement{sql: "commit prepared " + p.quoted(m)})
	switch {
	case err != nil:
		return unknown("commit prepared", err)
	case results[0].Err == nil:
		return nil
	case pg.Code(results[0].Err) != codeNotThere:
		return unknown("commit prepared", results[0].Err)
	}
	s, err := p.look(ctx, conn, m)
	switch {
	case err != nil:
		return err
	case s.state == statePrepared:
		return pg.AwaitReplication(ctx, conn)
	case s.prepared:
		return fault.New(fault.OutcomeUnknown, "the branch has only just been prepared")
	case s.state == stateAborted:
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
const bury = `
insert into branch_markers as m (gid, branch, state, deadline)
values ($1, $2, 'aborted', $3::timestamptz)
on conflict (gid, branch) do update set state = m.state
returning state`

// Abort rolls a branch back, whether it is prepared, being prepared or not yet
// heard of, and leaves a tombstone; asked again it returns nil. A branch that
// has been committed is Lost.
func (p *Participant) Abort(ctx context.Context, m Message) error {
	return p.record("abort", m, p.abort(ctx, m))
}

func (p *Participant) abort(ctx context.Context, m Message) error {
	if err := p.check(m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return pg.Fault("connect", err)
	}
	defer conn.Release()
	for range abortRounds {
		done, err := p.abortOnce(ctx, conn, m)
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
func (p *Participant) abortOnce(ctx context.Context, conn *pgxpool.Conn, m Message) (done bool, err error) {
	deadline := m.Deadline.UTC().Format("2006-01-02T15:04:05.999999Z07:00")
	results, err := send(ctx, conn,
		statement{sql: pg.Hush},
		statement{sql: "rollback prepared " + p.quoted(m)},
		statement{sql: pg.Unhush},
		statement{sql: bury, args: [][]byte{[]byte(m.GID), []byte(p.name), []byte(deadline)}},
	)
	if err != nil {
		return false, unknown("rollback prepared", err)
	}
	rolledBack, unhushed, buried := results[1], results[2], results[3]
	if unhushed.Err != nil {
		closeNow(conn) // its errors would be missing from the log
	}
	switch code := pg.Code(rolledBack.Err); code {
	case "", codeNotThere, codeBusy:
	default:
		return false, unknown("rollback prepared", rolledBack.Err)
	}
	if buried.Err != nil {
		if pg.Code(buried.Err) == "55P03" {
			return false, nil
		}
		return false, unknown("leave a tombstone", buried.Err)
	}
	if state := string(buried.Rows[0][0]); state != stateAborted {
		return false, lost("committed", "abort of a branch that has been committed")
	}
	return true, nil
}

// unknown is the fault of a finish whose outcome is open. What the server says
// about it never is a decided "no": lock time-outs, busy transactions (55000)
// and missing rights all mean that the branch is still to be finished.
func unknown(op string, err error) error {
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

// statement is one of a pipeline; its arguments are in text format.
type statement struct {
	sql  string
	args [][]byte
}

// send runs statements in one round trip, each in a transaction of its own and
// without statement_timeout: COMMIT PREPARED waits for the synchronous standby
// inside the statement, and a time-out there would cancel that wait, not the
// commit. A result's error is the server's; err means that the connection broke
// and nothing is known about any of them.
func send(ctx context.Context, conn *pgxpool.Conn, statements ...statement) ([]*pgconn.Result, error) {
	all := append([]statement{{sql: "set statement_timeout = 0"}}, statements...)
	all = append(all, statement{sql: "reset statement_timeout"})
	pipe := conn.Conn().PgConn().StartPipeline(ctx)
	for _, s := range all {
		pipe.SendQueryParams(s.sql, s.args, nil, nil, nil)
		pipe.SendPipelineSync()
	}
	results, err := collect(pipe, len(all))
	if closeErr := pipe.Close(); err == nil && pg.Code(closeErr) == "" {
		err = closeErr
	}
	if err != nil {
		closeNow(conn)
		return nil, err
	}
	if results[len(all)-1].Err != nil {
		closeNow(conn) // it would go on without a time-out
	}
	return results[1 : len(all)-1], nil
}

func collect(pipe *pgconn.Pipeline, n int) ([]*pgconn.Result, error) {
	if err := pipe.Flush(); err != nil {
		return nil, err
	}
	results := make([]*pgconn.Result, 0, n)
	for len(results) < n {
		result := &pgconn.Result{}
		for synced := false; !synced; {
			got, err := pipe.GetResults()
			if err != nil {
				if pg.Code(err) == "" {
					return nil, err
				}
				result.Err = err
				continue
			}
			switch got := got.(type) {
			case *pgconn.ResultReader:
				if result = got.Read(); result.Err != nil && pg.Code(result.Err) == "" {
					return nil, result.Err
				}
			case *pgconn.PipelineSync:
				synced = true
			}
		}
		results = append(results, result)
	}
	return results, nil
}
