package participant

import (
	"context"
	"errors"
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
		return unknownOutcome("commit", err)
	}
	return err
}

// rollback ends the transaction. If it fails, the connection is closed, which ends
// the transaction too.
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

// closeNow closes a connection whose state is uncertain, so that the pool drops it.
func closeNow(c *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Conn().Close(ctx)
}

// statement is one of a pipeline; its arguments are in text format.
type statement struct {
	sql  string
	args [][]byte
}

// pipeline runs statements in one round trip, each in a transaction of its own and
// without statement_timeout: COMMIT PREPARED waits for the synchronous standby
// inside the statement, and a time-out there would cancel that wait, not the
// commit. A result's error is the server's; err means that the connection broke
// and nothing is known about any of them.
func pipeline(ctx context.Context, c *pgxpool.Conn, statements ...statement) ([]*pgconn.Result, error) {
	all := append([]statement{{sql: "set statement_timeout = 0"}}, statements...)
	all = append(all, statement{sql: "reset statement_timeout"})
	pipe := c.Conn().PgConn().StartPipeline(ctx)
	for _, s := range all {
		pipe.SendQueryParams(s.sql, s.args, nil, nil, nil)
		pipe.SendPipelineSync()
	}
	results, err := collect(pipe, len(all))
	if closeErr := pipe.Close(); err == nil && pg.Code(closeErr) == "" {
		err = closeErr
	}
	if err != nil {
		closeNow(c)
		return nil, err
	}
	if results[len(all)-1].Err != nil {
		closeNow(c) // it would go on without a time-out
	}
	return results[1 : len(all)-1], nil
}

// collect reads the results of n synced statements.
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

// sendWhole sends all statements of a prepare in one round trip. Like seal it does
// not end with its caller.
func (p *Participant) sendWhole(ctx context.Context, c *pgxpool.Conn, m Message, change []*pgx.QueuedQuery) error {
	ctx, cancel := detached(ctx)
	defer cancel()
	statements := append([]*pgx.QueuedQuery{
		{SQL: "begin"},
		{SQL: markOrFail, Arguments: []any{m.GID, p.name, m.Deadline}},
	}, change...)
	known := make([]*pgconn.StatementDescription, len(statements))
	for i, s := range statements {
		var err error // calls the server once in a connection's life
		if known[i], err = c.Conn().Prepare(ctx, s.SQL, s.SQL); err != nil {
			return err
		}
	}
	pipe := c.Conn().PgConn().StartPipeline(ctx)
	var encode pgx.ExtendedQueryBuilder
	for i, s := range statements {
		if err := encode.Build(c.Conn().TypeMap(), known[i], s.Arguments); err != nil {
			return errors.Join(err, pipe.Close())
		}
		pipe.SendQueryPrepared(known[i].Name, encode.ParamValues, encode.ParamFormats, encode.ResultFormats)
	}
	pipe.SendQueryParams("prepare transaction "+p.quoted(m), nil, nil, nil, nil)
	pipe.SendPipelineSync()
	results, err := collect(pipe, 1)
	if closed := pipe.Close(); err == nil && pg.Code(closed) == "" {
		err = closed
	}
	switch {
	case err != nil:
		return err
	case results[0].Err != nil:
		return results[0].Err
	case results[0].CommandTag.String() != "PREPARE TRANSACTION":
		return errors.New("the transaction was not prepared, and no statement failed")
	}
	return nil
}
