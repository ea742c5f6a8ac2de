package branch

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
)

// Change is how a participant makes the change that a payload asks for.
type Change[P any] struct {
	// Apply makes it step by step, and says what stands in its way: a Work.
	Apply func(ctx context.Context, conn *pgx.Conn, gid string, payload P) error
	// Whole queues statements that make all of it, or of which one fails:
	// Apply then finds out why. It returns false where it has none. nil has none
	// for any payload.
	Whole func(b *pgx.Batch, gid string, payload P) bool
}

// markOrFail is lookAndMark for those who only want to know whether they may
// go on: where they may not, it fails.
const markOrFail = lookAndMarkOf + `select case when count(*) = 1 then 1 else ` + pg.Refuse + ` end from mark`

// PrepareWhole is Prepare in a single round trip, from the marker to the
// prepared transaction: nobody holds a row while messages are on their way, and
// a participant that is frozen has either done nothing or all. It may do so
// because each of the statements fails if something is in its way; which of
// them did, and why, is found out by Prepare.
func (p *Participant) PrepareWhole(ctx context.Context, m Message, whole *pgx.Batch, work Work) error {
	return p.record("prepare", m, p.inSlot(ctx, m, func(conn *pgxpool.Conn) error {
		err := p.atOnce(ctx, conn, m, whole.QueuedQueries)
		switch {
		case err == nil:
			return nil
		case pg.Code(err) == "":
			closeNow(conn)
			return &fault.Error{Op: "prepare at once", Kind: fault.OutcomeUnknown, Err: err}
		}
		rollback(ctx, conn)
		if f := fault.As(pg.Fault("prepare at once", err)); f.Kind == fault.Contended {
			// Perhaps it is this very branch that holds the rows.
			return p.lookAgain(ctx, conn, m, f)
		}
		return p.stepByStep(ctx, conn, m, work)
	}))
}

// atOnce sends everything without waiting for an answer in between. Like seal
// it is not to be cancelled.
func (p *Participant) atOnce(ctx context.Context, conn *pgxpool.Conn, m Message, change []*pgx.QueuedQuery) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	statements := append([]*pgx.QueuedQuery{
		{SQL: "begin"},
		{SQL: markOrFail, Arguments: []any{m.GID, p.name, m.Deadline}},
	}, change...)
	known := make([]*pgconn.StatementDescription, len(statements))
	for i, s := range statements {
		var err error // asks the server once in a connection's life
		if known[i], err = conn.Conn().Prepare(ctx, s.SQL, s.SQL); err != nil {
			return err
		}
	}
	pipe := conn.Conn().PgConn().StartPipeline(ctx)
	var encode pgx.ExtendedQueryBuilder
	for i, s := range statements {
		if err := encode.Build(conn.Conn().TypeMap(), known[i], s.Arguments); err != nil {
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
