package run_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/warehouse/cut"
	"bookstore/warehouse/run"
	"bookstore/warehouse/store"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	pgtest.Main(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

const books = `
create table books (id bigint generated always as identity primary key, title text not null, authors text[], price_cents bigint not null,
	currency text not null default 'EUR', version bigint not null default 1, deleted_at timestamptz);
create table stock (book_id bigint primary key, quantity bigint not null, version bigint not null default 1);
select warehouse_track('books'); select warehouse_track('stock');
create table settings (name text, value text);
insert into settings values ('a', null), (null, '');
insert into books (title, authors, price_cents) select 'Book ' || i, array['A' || i, 'B'], i * 100 from generate_series(1, 1000) i;
insert into stock select id, id from books;
`

const orders = `
create table items (order_id uuid, line int, book_id bigint, note text, primary key (order_id, line));
select warehouse_track('items');
insert into items select md5(i::text)::uuid, 1, i, 'n' from generate_series(1, 1000) i;
`

// shop is two databases and the directory of their warehouse.
type shop struct {
	t            *testing.T
	dir          string
	bookdb, odb  *pgx.Conn
	cuts         int
	timeline     int
	began        time.Time
	bookSQL, sql string // connection strings
}

func newShop(t *testing.T) *shop {
	t.Helper()
	empty := fstest.MapFS{"00001_empty.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}
	s := &shop{t: t, dir: t.TempDir(), timeline: 1, began: time.Date(2026, 11, 23, 6, 0, 0, 123456000, time.UTC)}
	// A server of its own: what runs elsewhere in a server is read again.
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"autovacuum=off"}})
	s.bookSQL, s.sql = server.DSN(t, empty), server.DSN(t, empty)
	s.bookdb, s.odb = s.connect(s.bookSQL), s.connect(s.sql)
	s.do(s.bookdb, books)
	s.do(s.odb, orders)
	return s
}

func (s *shop) connect(dsn string) *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *shop) do(conn *pgx.Conn, sql string) {
	s.t.Helper()
	if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		s.t.Fatalf("%v\n%s", err, sql)
	}
}

// cut opens snapshots of both databases, five minutes after the last.
func (s *shop) cut() *cut.Cut {
	s.t.Helper()
	s.cuts++
	c, err := snapshots(s.began.Add(time.Duration(s.cuts)*5*time.Minute), database{"bookdb", s.bookSQL}, database{"orderdb", s.sql})
	if err != nil {
		s.t.Fatal(err)
	}
	c.Timeline = s.timeline
	return c
}

type database struct{ name, dsn string }

func snapshots(at time.Time, databases ...database) (*cut.Cut, error) {
	ctx, c := context.Background(), &cut.Cut{At: at, System: "7", Timeline: 1, LSN: "0/1"}
	for _, d := range databases {
		conn, err := pgx.Connect(ctx, d.dsn)
		if err != nil {
			return nil, err
		}
		s := cut.Snapshot{Database: d.name, Conn: conn}
		if _, err := conn.Exec(ctx, "begin isolation level repeatable read read only"); err != nil {
			return nil, err
		}
		if err := conn.QueryRow(ctx, "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").Scan(&s.Xmin); err != nil {
			return nil, err
		}
		c.Snapshots = append(c.Snapshots, s)
	}
	return c, nil
}

func release(c *cut.Cut) {
	for _, s := range c.Snapshots {
		_ = s.Conn.Close(context.Background())
	}
}

// run makes a version of the shop as it is.
func (s *shop) run(o run.Options) *run.Report {
	s.t.Helper()
	report, err := s.try(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

func (s *shop) try(o run.Options) (*run.Report, error) {
	s.t.Helper()
	c := s.cut()
	defer release(c)
	return runOn(s.t.Context(), s.dir, c, o)
}

func runOn(ctx context.Context, dir string, c *cut.Cut, o run.Options) (*run.Report, error) {
	st, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return run.Run(ctx, st, c, o)
}

// reader opens the version of that time, or the newest.
func (s *shop) reader(when string) *sql.DB {
	s.t.Helper()
	v, err := store.AsOf(s.dir, when)
	if err != nil {
		s.t.Fatal(err)
	}
	db, err := v.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// require reads one value of a version, as text.
func require(t *testing.T, db *sql.DB, query, want string) {
	t.Helper()
	var got sql.NullString
	if err := db.QueryRowContext(t.Context(), "select ("+query+")::varchar").Scan(&got); err != nil {
		t.Errorf("%s: %v", query, err)
	} else if fmt.Sprint(got.String) != want {
		t.Errorf("%s gives %s, not %s", query, got.String, want)
	}
}
