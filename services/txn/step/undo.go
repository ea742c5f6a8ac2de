package step

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/pg"
)

// The lock makes undos of one step take turns.
const lookAndLock = `select state, result from step_markers where saga = $1 and step = $2 for no key update`

const markUndone = `update step_markers set state = 'undone', updated_at = now() where saga = $1 and step = $2`

// Undo reverses the step if it has been done, once, and makes sure that it
// cannot be done any more. Asked again it does nothing and returns nil. A step
// without a Reversal has nothing to take back. Lost when the saga is so old that
// the step's marker may have been deleted.
func (p *Participant) Undo(ctx context.Context, k Key, r Reversal) error {
	err := p.undo(ctx, k, r)
	if err == nil {
		err = p.tell(ctx, k)
	}
	return p.record("undo", k, err)
}

func (p *Participant) undo(ctx context.Context, k Key, r Reversal) error {
	if err := k.check(); err != nil {
		return err
	}
	c, release, err := p.slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	s, err := bury(ctx, c, k)
	switch {
	case err != nil:
		return err
	case s.buried:
		if err := forgotten(k, time.Now()); err != nil {
			rollback(ctx, c)
			return err
		}
		return commit(ctx, c, "")
	case s.state == stateUndone:
		rollback(ctx, c)
		return pg.AwaitReplication(ctx, c)
	case s.state == stateDone && r != nil:
		if err := r(ctx, transaction{c.Conn()}, s.result); err != nil {
			rollback(ctx, c)
			return pg.Fault("reverse", err)
		}
	}
	return commit(ctx, c, markUndone, k.Saga, k.Step)
}

// sight is what an undo found.
type sight struct {
	buried bool // nothing: the tombstone is ours
	state  string
	result []byte
}

// bury opens the transaction, inserts a tombstone where no marker is, and locks
// the one that is there.
func bury(ctx context.Context, c *pgxpool.Conn, k Key) (s sight, err error) {
	batch := &pgx.Batch{}
	batch.Queue("begin")
	batch.Queue(mark, k.Saga, k.Step, stateUndone).Exec(func(tag pgconn.CommandTag) error {
		s.buried = tag.RowsAffected() == 1
		return nil
	})
	batch.Queue(lookAndLock, k.Saga, k.Step).QueryRow(func(row pgx.Row) error { return row.Scan(&s.state, &s.result) })
	if err = send(ctx, c, "look", batch); err != nil {
		rollback(ctx, c)
	}
	return s, err
}
