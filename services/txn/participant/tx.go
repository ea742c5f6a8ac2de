package participant

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// finishTimeout bounds what runs detached from the caller: once a commit, or
// PREPARE, COMMIT PREPARED or ROLLBACK PREPARED has been sent, a client that
// goes away changes nothing.
const finishTimeout = 5 * time.Second

func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
}

type conn = pgx.Conn

// transaction is the pgx.Tx of a transaction that began in one round trip with
// its marker. Only its participant ends it.
type transaction struct{ *conn }

var errOwned = fault.New(fault.Internal, "this transaction is its participant's to begin and to end")

func (t transaction) Begin(context.Context) (pgx.Tx, error) { return nil, errOwned }
func (t transaction) Commit(context.Context) error          { return errOwned }
func (t transaction) Rollback(context.Context) error        { return errOwned }
func (t transaction) LargeObjects() pgx.LargeObjects        { return pgx.LargeObjects{} }
func (t transaction) Conn() *pgx.Conn                       { return t.conn }

// send runs a batch of statements in one round trip.
func send(ctx context.Context, c *pgxpool.Conn, op string, batch *pgx.Batch) error {
	return pg.Fault(op, c.SendBatch(ctx, batch).Close())
}

// commit ends the transaction, after one more statement if last is not "". A
// commit without an answer is unknown; one that the server refuses is rolled back.
func commit(ctx context.Context, c *pgxpool.Conn, last string, args ...any) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	batch := &pgx.Batch{}
	if last != "" {
		batch.Queue(last, args...)
	}
	batch.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fault.New(fault.Internal, "rolled back: a failed statement was overlooked")
		}
		return nil
	})
	err := send(ctx, c, "commit", batch)
	if err == nil {
		return nil
	}
	rollback(ctx, c)
	if fault.KindOf(err) == fault.Unavailable || fault.KindOf(err) == fault.DeadlineExceeded {
		return notKnown("commit", err)
	}
	return err
}

// rollback ends the transaction; a connection on which that fails is closed,
// which ends it as well.
func rollback(ctx context.Context, c *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if c.Conn().IsClosed() {
		return
	}
	if _, err := c.Exec(ctx, "rollback"); err != nil {
		closeNow(c)
	}
}

// closeNow keeps a connection about which anything is uncertain out of the pool.
func closeNow(c *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Conn().Close(ctx)
}
