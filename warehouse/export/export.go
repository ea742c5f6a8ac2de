// Package export brings a table from a snapshot into a Parquet file, and proves that it arrived.
// PostgreSQL writes CSV, DuckDB reads it through a pipe: memory is flat however many rows there are.
package export

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5"

	"bookstore/warehouse/catalogue"
)

// Size is how much was written.
type Size struct {
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

// Configure makes a snapshot's connection write values in the one form that is expected here, until
// its transaction ends. Rows that it may not see are an error, and a table that is locked is not waited for.
func Configure(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `select set_config(name, value, true) from (values
		('timezone', 'UTC'), ('datestyle', 'ISO'), ('intervalstyle', 'postgres'), ('bytea_output', 'hex'),
		('extra_float_digits', '1'), ('search_path', 'pg_catalog'), ('statement_timeout', '0'),
		('lock_timeout', '10s'), ('row_security', 'off'), ('idle_in_transaction_session_timeout', '0')) as settings (name, value)`)
	if err != nil {
		return fmt.Errorf("configure a snapshot's connection: %w", err)
	}
	return nil
}

// Table writes the rows for which where holds (all when it is empty) into a Parquet file, in the
// snapshot that conn is in. Whatever ends it early closes both ends, leaves no file, and is
// the error, which names the table; conn may be closed then.
func Table(ctx context.Context, duck *sql.DB, conn *pgx.Conn, t *catalogue.Table, where, path string) (Size, error) {
	columns := t.Kept()
	query := "select " + sent(columns, "") + " from " + t.Source()
	if where != "" {
		query += " where " + where
	}
	return stream(ctx, duck, conn, t, columns, query, path)
}

// Gone writes the keys of a tracked table's rows that were deleted by transactions from since on.
func Gone(ctx context.Context, duck *sql.DB, conn *pgx.Conn, t *catalogue.Table, since uint64, path string) (Size, error) {
	key := t.KeyColumns()
	query := fmt.Sprintf("select distinct %s from public.%s g cross join jsonb_populate_record(null::%s, g.key) r where %s and g.key is not null",
		sent(key, "r."), catalogue.Gone, pgx.Identifier{t.Schema, t.Name}.Sanitize(), goneFrom(t, since))
	return stream(ctx, duck, conn, t, key, query, path)
}

// Truncated tells whether a transaction from since on emptied the table.
func Truncated(ctx context.Context, conn *pgx.Conn, t *catalogue.Table, since uint64) (bool, error) {
	var is bool
	err := conn.QueryRow(ctx, "select exists (select from public."+catalogue.Gone+" g where g.key is null and "+goneFrom(t, since)+")").Scan(&is)
	if err != nil {
		return false, fmt.Errorf("read whether %s.%s was emptied: %w", t.Schema, t.Name, err)
	}
	return is, nil
}

// stream lets PostgreSQL write into one end of a pipe and DuckDB read from the other. The pipe has
// no name that could be waited on: DuckDB opens what this process already holds.
func stream(ctx context.Context, duck *sql.DB, conn *pgx.Conn, t *catalogue.Table, columns []catalogue.Column, query, path string) (size Size, err error) {
	defer func() {
		if err != nil {
			_ = os.Remove(path) // there may be none
			err = fmt.Errorf("export %s.%s: %w", t.Schema, t.Name, err)
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		return size, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		rows int64
		err  error
	}
	sent := make(chan outcome, 1)
	go func() {
		rows, err := send(ctx, conn, query, w)
		sent <- outcome{rows, err}
	}()
	result, err := duck.ExecContext(ctx, receive(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), columns, path))
	if err != nil {
		cancel() // PostgreSQL may be at work on a row
	}
	_ = r.Close() // tells a sender that is still there
	source := <-sent
	if err := cause(err, source.err); err != nil {
		return size, err
	}
	if size.Rows, err = result.RowsAffected(); err == nil && size.Rows != source.rows {
		err = fmt.Errorf("%d rows were sent and %d arrived", source.rows, size.Rows)
	}
	if err != nil {
		return size, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return size, err
	}
	size.Bytes = info.Size()
	return size, nil
}

// Refused tells whether an export failed since a value has no place in the type that the warehouse has for its column.
func Refused(err error) bool {
	var failed *duckdb.Error
	if !errors.As(err, &failed) {
		return false
	}
	switch failed.Type {
	case duckdb.ErrorTypeConversion, duckdb.ErrorTypeInvalidInput, duckdb.ErrorTypeOutOfRange, duckdb.ErrorTypeMismatchType,
		duckdb.ErrorTypeInvalidType, duckdb.ErrorTypeDecimal, duckdb.ErrorTypeObjectSize:
		return true
	}
	return false
}

// cause is which of two errors the other follows from: the reader's, unless the sender failed by itself.
func cause(reader, sender error) error {
	if sender != nil && (reader == nil || !errors.Is(sender, syscall.EPIPE) && !errors.Is(sender, context.Canceled)) {
		return fmt.Errorf("PostgreSQL: %w", sender)
	}
	if reader != nil {
		return fmt.Errorf("DuckDB: %w", reader)
	}
	return nil
}

func send(ctx context.Context, conn *pgx.Conn, query string, w *os.File) (rows int64, err error) {
	q := newQueue(w)
	tag, err := conn.PgConn().CopyTo(ctx, q, "copy ("+query+") to stdout (format csv)")
	return tag.RowsAffected(), errors.Join(err, q.Close(), w.Close())
}

func goneFrom(t *catalogue.Table, since uint64) string {
	return fmt.Sprintf("g.table_name in (%s, %s) and g.changed_xid >= '%d'::xid8", catalogue.Literal(t.Name), catalogue.Literal(t.Schema+"."+t.Name), since)
}

// Since is the condition of rows changed by transactions from xid on.
func Since(xid uint64) string { return fmt.Sprintf("%s >= '%d'::xid8", catalogue.Changed, xid) }

// sent is what is selected. An empty column comes first: a line of nothing would be no row.
func sent(columns []catalogue.Column, of string) string {
	return "null, " + list(columns, func(c catalogue.Column) string { return c.Sent(of) })
}

func list(columns []catalogue.Column, of func(catalogue.Column) string) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = of(c)
	}
	return strings.Join(parts, ", ")
}

func receive(pipe string, columns []catalogue.Column, path string) string {
	return fmt.Sprintf(`copy (select %s from read_csv(%s, columns = {'.': 'VARCHAR', %s}, auto_detect = false, header = false,
		delim = ',', quote = '"', escape = '"', nullstr = '', allow_quoted_nulls = false, new_line = '\n', parallel = false,
		compression = 'none', max_line_size = %d, buffer_size = %d))
		to %s (format parquet, compression zstd, row_group_size_bytes %d)`,
		list(columns, func(c catalogue.Column) string { return c.Parsed() + " as " + catalogue.Quote(c.Here()) }), catalogue.Literal(pipe),
		list(columns, func(c catalogue.Column) string {
			return catalogue.Literal(c.Here()) + ": " + catalogue.Literal(c.Read())
		}),
		maxLine, csvBuffer, catalogue.Literal(path), rowGroup)
}

// What a row's CSV may have at most, and what DuckDB holds of CSV and of Parquet at a time; bytes.
const (
	maxLine   = 8 << 20
	csvBuffer = 8 << 20
	rowGroup  = 16 << 20
)

// queue lets PostgreSQL write on while DuckDB is at work on what it has read: that reads a whole
// buffer before it parses any of it, and a pipe holds next to nothing.
type queue struct {
	full, free chan []byte
	now        []byte
	failed     chan struct{} // closed when the reader is gone, after err is set
	err        error
}

const (
	chunk = 256 << 10 // bytes
	ahead = csvBuffer / chunk
)

// newQueue begins to write into w. Close ends that.
func newQueue(w io.Writer) *queue {
	q := &queue{full: make(chan []byte, ahead), free: make(chan []byte, ahead), failed: make(chan struct{})}
	for range ahead {
		q.free <- nil // made when it is needed
	}
	go func() {
		defer close(q.failed)
		for b := range q.full {
			if _, q.err = w.Write(b); q.err != nil {
				return
			}
			q.free <- b[:0]
		}
	}()
	return q
}

// Write takes a copy of p; an error is one of an earlier write.
func (q *queue) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if q.now == nil {
			select {
			case q.now = <-q.free:
			case <-q.failed:
				return 0, q.err
			}
			if q.now == nil {
				q.now = make([]byte, 0, chunk)
			}
		}
		n := min(len(rest), chunk-len(q.now))
		q.now, rest = append(q.now, rest[:n]...), rest[n:]
		if len(q.now) == chunk {
			q.full <- q.now // has room for all there are
			q.now = nil
		}
	}
	return len(p), nil
}

// Close returns when all is written, or cannot be.
func (q *queue) Close() error {
	if q.now != nil {
		q.full <- q.now
	}
	close(q.full)
	<-q.failed
	return q.err
}
