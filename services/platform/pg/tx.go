package pg

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/fault"
)

// finishTimeout bounds a commit or rollback, which does not end with its caller.
const finishTimeout = 5 * time.Second

// beginner is a pool or a connection.
type beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// InTx runs fn in a transaction. It commits when fn returns nil, otherwise it rolls
// back and returns fn's error. It is the one function that owns begin and commit. A
// commit without an answer is fault.OutcomeUnknown, never a refusal.
func InTx(ctx context.Context, on beginner, fn func(pgx.Tx) error) (err error) {
	tx, err := on.Begin(ctx)
	if err != nil {
		return Fault("begin", err)
	}
	done := false
	defer func() {
		if done {
			return
		}
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
		defer cancel()
		_ = tx.Rollback(undo) // a connection that cannot roll back is closed, which does
	}()
	if err := fn(tx); err != nil {
		return err
	}
	done = true
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	return commitFault(tx.Commit(finish))
}

func commitFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return &fault.Error{Op: "commit", Kind: fault.Internal, Err: err}
	case Code(err) != "" && !isConnectionCode(Code(err)):
		return Fault("commit", err)
	default:
		return &fault.Error{
			Op: "commit", Kind: fault.OutcomeUnknown, Err: err,
			Message: "whether the change was made is not known; ask again", RetryAfter: time.Second,
		}
	}
}

// Broken reports an error after which the outcome of the statement is unknown: the
// connection ended before the server answered.
func Broken(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// AwaitReplication waits until the synchronous standbys have everything that is visible to db now. PostgreSQL makes a
// commit or a prepared transaction of another session visible before the standbys have acknowledged it, and a failover
// may then take it back. An answer that depends on it must wait here first. The function writes a record behind all
// that is visible and waits for its acknowledgement, which covers everything before it.
func AwaitReplication(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) error {
	var lsn string
	return Fault("wait for the standbys", db.QueryRow(ctx, "select pg_logical_emit_message(true, 'replication wait', '')::text").Scan(&lsn))
}
