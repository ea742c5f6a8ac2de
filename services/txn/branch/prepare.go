package branch

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Work makes a branch's change on conn, inside the branch's transaction. It
// must not begin, commit or roll back. A fault that it returns refuses the
// branch. LISTEN, NOTIFY, temporary tables, exported snapshots and cursors WITH
// HOLD would make the prepare fail.
type Work func(ctx context.Context, conn *pgx.Conn) error

// finishTimeout bounds what runs detached from the caller: once PREPARE,
// COMMIT PREPARED or ROLLBACK PREPARED has been sent, a client that goes away
// changes nothing.
const finishTimeout = 5 * time.Second

// Prepare makes the change and prepares it. Asked again for a branch that is
// prepared or committed it does nothing and returns nil; for one that is
// aborted, or when the database's clock is past the deadline, it returns
// Aborted. Whatever fault work returns rolls the branch back and is returned.
func (p *Participant) Prepare(ctx context.Context, m Message, work Work) error {
	return p.record("prepare", m, p.inSlot(ctx, m, func(conn *pgxpool.Conn) error {
		return p.stepByStep(ctx, conn, m, work)
	}))
}

// inSlot gives a prepare a connection, when there is room for it.
func (p *Participant) inSlot(ctx context.Context, m Message, prepare func(*pgxpool.Conn) error) error {
	if err := p.check(m); err != nil {
		return err
	}
	conn, release, err := p.slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return prepare(conn)
}

func (p *Participant) stepByStep(ctx context.Context, conn *pgxpool.Conn, m Message, work Work) error {
	marked, err := p.begin(ctx, conn, m)
	if err != nil || !marked {
		return err
	}
	if err := work(ctx, conn.Conn()); err != nil {
		rollback(ctx, conn)
		return pg.Fault("change", err)
	}
	return p.seal(ctx, conn, m)
}

// The look and the marker are one statement. The look comes first because a
// blind insert of a repeat would wait for the prepared one's marker. On a
// standby, which shows no prepared transactions at all, the insert fails. A
// marker with another deadline is of a transaction of long ago, by the same
// name: this one must not be taken for it, and so is aborted.
const lookAndMarkOf = `
with look as materialized (
	select
		exists (select from pg_prepared_xacts
			where gid = $1::text || ':' || $2::text and database = current_database()) as prepared,
		(select case when deadline = $3 then state else 'aborted' end
			from branch_markers where gid = $1 and branch = $2) as state,
		clock_timestamp() >= $3::timestamptz as late
), mark as (
	insert into branch_markers (gid, branch, state, deadline)
	select $1, $2, 'prepared', $3 from look where not prepared and state is null and not late
	on conflict do nothing
	returning 1
)
`

const lookAndMark = lookAndMarkOf + `select prepared, coalesce(state, ''), late, exists (select from mark) from look`

const look = `
select
	exists (select from pg_prepared_xacts
		where gid = $1::text || ':' || $2::text and database = current_database()),
	coalesce((select state from branch_markers where gid = $1 and branch = $2), ''),
	pg_is_in_recovery()`

// sight is what a look found.
type sight struct {
	prepared bool   // in pg_prepared_xacts
	state    string // of the visible marker row, "" if there is none
	late     bool
	marked   bool
}

// begin opens the transaction and inserts the marker: true when the change may
// be made, false when there is nothing left to do.
func (p *Participant) begin(ctx context.Context, conn *pgxpool.Conn, m Message) (bool, error) {
	// A second round is needed only when another call about the same branch
	// ended between the look and the insert.
	for range 3 {
		s, err := p.mark(ctx, conn, m)
		switch {
		case fault.KindOf(err) == fault.Contended && err != nil:
			// Another prepare of this branch holds the marker: perhaps it is done by now.
			rollback(ctx, conn)
			return false, p.lookAgain(ctx, conn, m, err)
		case err != nil:
			rollback(ctx, conn)
			return false, err
		case s.marked:
			return true, nil
		}
		rollback(ctx, conn)
		switch {
		case s.prepared, s.state == statePrepared:
			return false, pg.AwaitReplication(ctx, conn)
		case s.state == stateAborted:
			return false, fault.New(fault.Aborted, "the transaction has been aborted")
		case s.late:
			return false, fault.New(fault.Aborted, "the transaction's deadline has passed")
		}
	}
	return false, fault.New(fault.Contended, "another call about the same branch is running")
}

func (p *Participant) mark(ctx context.Context, conn *pgxpool.Conn, m Message) (sight, error) {
	var s sight
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(lookAndMark, m.GID, p.name, m.Deadline).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.prepared, &s.state, &s.late, &s.marked)
	})
	return s, pg.Fault("mark", conn.SendBatch(ctx, batch).Close())
}

// lookAgain turns a contended marker into nil when the branch turns out to be prepared.
func (p *Participant) lookAgain(ctx context.Context, conn *pgxpool.Conn, m Message, contended error) error {
	s, err := p.look(ctx, conn, m)
	switch {
	case err != nil:
		return err
	case s.prepared, s.state == statePrepared:
		return pg.AwaitReplication(ctx, conn)
	case s.state == stateAborted:
		return fault.New(fault.Aborted, "the transaction has been aborted")
	default:
		return contended
	}
}

// look reads the branch's state outside a transaction, on the leader only.
func (p *Participant) look(ctx context.Context, conn *pgxpool.Conn, m Message) (sight, error) {
	var s sight
	var standby bool
	err := conn.QueryRow(ctx, look, m.GID, p.name).Scan(&s.prepared, &s.state, &standby)
	if err != nil {
		return s, pg.Fault("look", err)
	}
	if standby {
		closeNow(conn)
		return s, fault.New(fault.Unavailable, "the database has no leader here")
	}
	return s, nil
}

// seal prepares the transaction. Its answer decides; without one the outcome is unknown.
func (p *Participant) seal(ctx context.Context, conn *pgxpool.Conn, m Message) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	tag, err := conn.Exec(ctx, "prepare transaction "+p.quoted(m))
	switch {
	case err != nil && pg.Code(err) == "":
		closeNow(conn)
		return &fault.Error{Op: "prepare transaction", Kind: fault.OutcomeUnknown, Err: err}
	case err != nil:
		return pg.Fault("prepare transaction", err)
	case tag.String() != "PREPARE TRANSACTION":
		// What the server answers when a statement before had failed.
		return pg.Fault("prepare transaction", errors.New("rolled back: a failed statement was overlooked"))
	}
	return nil
}

// rollback ends the transaction; a connection on which that fails is closed,
// which ends it as well.
func rollback(ctx context.Context, conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "rollback"); err != nil {
		closeNow(conn)
	}
}

// closeNow keeps a connection about which anything is uncertain out of the pool.
func closeNow(conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Conn().Close(ctx)
}
