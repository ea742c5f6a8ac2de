package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/warehouse/cut"
	"bookstore/warehouse/export"
)

// source is a database at the cut. Tables are read in a connection of their own, which shares the snapshot of the cut's
// and may be lost with the table that it was lost for: the cut's is not used for more than to say that it is there.
type source struct {
	*cut.Snapshot

	name   string    // of the snapshot, under which others share it
	reader *pgx.Conn // nil: none is open
}

// overheadTimeout bounds what is done to a connection beside reading from it.
const overheadTimeout = 10 * time.Second

// open makes sure that the reader can read.
func (s *source) open(ctx context.Context) (err error) {
	if s.reader != nil && !s.reader.IsClosed() && s.reader.PgConn().TxStatus() == 'T' {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, overheadTimeout)
	defer cancel()
	s.close(ctx)
	if s.name == "" {
		if err := export.Configure(ctx, s.Conn); err != nil { // it must not be ended for being idle
			return err
		}
		if err := s.Conn.QueryRow(ctx, "select pg_export_snapshot()").Scan(&s.name); err != nil {
			return fmt.Errorf("share the snapshot: %w", err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, s.Conn.Config())
	if err != nil {
		return err
	}
	for _, sql := range []string{"begin isolation level repeatable read read only", "set transaction snapshot '" + s.name + "'"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return errors.Join(fmt.Errorf("share the snapshot: %w", err), conn.Close(ctx))
		}
	}
	if err := export.Configure(ctx, conn); err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	s.reader = conn
	return nil
}

// close closes the reader. A query that has not ended is ended with it.
func (s *source) close(ctx context.Context) {
	if s.reader == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), overheadTimeout)
	defer cancel()
	_ = s.reader.Close(ctx) // there is nothing in it
	s.reader = nil
}

// alive is the error that the database as a whole cannot be read for any more.
func (s *source) alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, overheadTimeout)
	defer cancel()
	if _, err := s.Conn.Exec(ctx, "select"); err != nil {
		return fmt.Errorf("the cut's snapshot is lost: %w", err)
	}
	return nil
}
