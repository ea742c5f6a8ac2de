package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Slots bound the connections of a pool that may wait for row locks at the same time: prepares of branches, steps of
// sagas, edits. A quarter of the pool stays free for the statements that release such locks. All users of a pool must
// share its Slots: two sets of three quarters each would leave nothing.
type Slots struct {
	pool  *pgxpool.Pool
	taken chan struct{}
}

// NewSlots makes the slots of a pool.
func NewSlots(pool *pgxpool.Pool) *Slots {
	return &Slots{pool: pool, taken: make(chan struct{}, max(1, pool.Config().MaxConns*3/4))}
}

// Acquire waits for a slot and a connection; release gives both back.
func (s *Slots) Acquire(ctx context.Context) (conn *pgxpool.Conn, release func(), err error) {
	select {
	case s.taken <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, Fault("wait for a slot", ctx.Err())
	}
	if conn, err = s.pool.Acquire(ctx); err != nil {
		<-s.taken
		return nil, nil, Fault("connect", err)
	}
	return conn, func() {
		conn.Release() // the pool closes a connection that is not idle
		<-s.taken
	}, nil
}

// InTx is InTx on a connection of a slot.
func (s *Slots) InTx(ctx context.Context, fn func(pgx.Tx) error) error {
	conn, release, err := s.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return InTx(ctx, conn, fn)
}
