package run_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bookstore/warehouse/export"
	"bookstore/warehouse/run"
	"bookstore/warehouse/store"
)

func TestFullRunPublishesWhatTheDatabasesHave(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	report := s.run(run.Options{})
	if report.Manifest.Kind != store.Full || report.Why == "" || report.Read.Rows != 3006 {
		t.Errorf("the report is %+v", report)
	}
	db := s.reader("")
	require(t, db, "select sum(price_cents) from bookdb.books", "50050000")
	require(t, db, "select authors[1] from bookdb.books where id = 7", "A7")
	require(t, db, "select count(*) from bookdb.settings where name is null and value = ''", "1")
	require(t, db, "select count(*) from orderdb.items join bookdb.stock using (book_id)", "1000")
	require(t, db, "select run || ' ' || kind from warehouse.runs", "20261123T060500.123456Z full")
	require(t, db, "select count(*) from warehouse.columns where \"table\" = 'books' and \"key\"", "1")
	require(t, db, "select count(*) from warehouse.book_history where valid_to is null", "1000")
	if !slices.ContainsFunc(report.Manifest.Notes, func(n string) bool { return strings.HasPrefix(n, "bookdb.settings is read in full") }) {
		t.Errorf("nobody is told of the untracked table: %q", report.Manifest.Notes)
	}
}

// whole compares every row of a version with the databases as they are now.
func (s *shop) whole(m *store.Manifest) {
	s.t.Helper()
	db := s.reader(m.Run)
	c := s.cut()
	defer release(c)
	for _, snapshot := range c.Snapshots {
		if err := export.Configure(s.t.Context(), snapshot.Conn); err != nil {
			s.t.Fatal(err)
		}
		for i := range m.Tables {
			t := &m.Tables[i]
			if t.Database != snapshot.Database {
				continue
			}
			source, err := export.Source(s.t.Context(), snapshot.Conn, &t.Table, nil)
			arrived, errDuck := export.Arrived(s.t.Context(), db, &t.Table, t.SQL(), nil)
			if err := errors.Join(err, errDuck); err != nil || source != arrived {
				s.t.Errorf("%v: %s is %+v in the database and %+v in version %s", err, t, source, arrived, m.Run)
			}
			if t.Rows != arrived.Rows {
				s.t.Errorf("the manifest says that %s has %d rows, and it has %d", t, t.Rows, arrived.Rows)
			}
		}
	}
}

func (s *shop) noted(m *store.Manifest, want string) {
	s.t.Helper()
	if !slices.Contains(m.Notes, want) {
		s.t.Errorf("%q is not among the notes: %q", want, m.Notes)
	}
}

func TestIncrementalRunReadsWhatChanged(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first := s.run(run.Options{})
	for _, step := range []struct {
		name, bookdb, orderdb string
		rows                  int64 // read, beside the six of settings and of goose
	}{
		{"nothing", "", "", 0},
		{"changed rows", "update books set price_cents = 1, version = version + 1 where id <= 5", "update items set note = null where book_id = 7", 6},
		{"the same again", "update books set price_cents = 2, version = version + 1 where id <= 2", "", 2},
		{"deleted", "delete from books where id in (2, 3)", "delete from items where book_id <= 10", 12},
		{"deleted and made anew", "delete from books where id = 4; insert into books (id, title, price_cents) overriding system value values (4, 'Anew', 4)", "", 2},
		{"deleted, and made anew after it", "insert into books (id, title, price_cents) overriding system value values (2, 'Back', 2)", "", 1},
		{"changed and deleted", "update books set title = 'x' where id = 6; delete from books where id = 6", "", 1},
		{"rolled back", "begin; update books set title = 'y'; rollback", "", 0},
		{"untracked", "update settings set value = 'z'", "", 0},
	} {
		s.do(s.bookdb, step.bookdb)
		s.do(s.odb, step.orderdb)
		report := s.run(run.Options{})
		if report.Why != "" || report.Read.Rows != step.rows+6 {
			t.Errorf("%s: %d rows were read, in full since %q", step.name, report.Read.Rows, report.Why)
		}
		s.whole(report.Manifest)
	}
	require(t, s.reader(first.Manifest.Run), "select sum(price_cents) from bookdb.books", "50050000")
	require(t, s.reader(""), "select string_agg(price_cents, ' ' order by valid_from) from warehouse.book_history where id = 1", "100 1 2")
	require(t, s.reader(""), "select count(*) from warehouse.book_history where id = 3 and valid_to is not null", "2")
}

func TestTablesThatChangeTheirShape(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(run.Options{})
	for _, step := range []struct {
		sql  string
		note string
	}{
		{"truncate items; insert into items values (gen_random_uuid(), 1, 5, 'only')", ""},
		{"alter table items add column extra numeric(5,2) default 1.5", "orderdb.items.extra is new"},
		{"alter table items alter column extra type text", "orderdb.items.extra was numeric(5,2) and is text"},
		{"alter table items drop column extra", "orderdb.items.extra is there no more"},
		{"comment on column items.note is 'warehouse: hash'", `orderdb.items.note is tagged "hash", and was tagged ""`},
		{"create table more (i int primary key); insert into more values (1)", "orderdb.more is new"},
		{"drop table more; create table more (i int primary key)", ""},
		{"drop table more", "orderdb.more is there no more"},
		{"create schema side; create table side.more (a int, b text) partition by list (a); create table side.p partition of side.more default; insert into side.more values (1, 'x')", "orderdb.side.more is new"},
	} {
		s.do(s.odb, step.sql)
		report := s.run(run.Options{})
		if step.note != "" {
			s.noted(report.Manifest, step.note)
		}
		if report.Why != "" {
			t.Errorf("%s: everything was read, since %s", step.sql, report.Why)
		}
		s.whole(report.Manifest)
	}
	require(t, s.reader(""), `select b from orderdb."side.more"`, "x")
	require(t, s.reader(""), `select count(*) from (show all tables) where name = 'p'`, "0")
}

// A transaction that is open over three runs is in the fourth, once.
func TestLateCommitIsNotLost(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	late := s.connect(s.bookSQL)
	s.run(run.Options{})
	s.do(late, "begin; update books set title = 'late' where id = 1; insert into books (title, price_cents) values ('late', 1)")
	for range 3 {
		s.do(s.bookdb, "update books set version = version + 1 where id between 10 and 20")
		s.run(run.Options{})
		require(t, s.reader(""), "select count(*) from bookdb.books where title = 'late'", "0")
	}
	s.do(late, "commit")
	for range 2 {
		s.whole(s.run(run.Options{}).Manifest)
		require(t, s.reader(""), "select count(*) from bookdb.books where title = 'late'", "2")
	}
}

func TestChangeThatNobodyTrackedIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(run.Options{})
	const off, on = "alter table items disable trigger all;", ";alter table items enable trigger all"
	for _, sql := range []string{
		off + "update items set note = 'behind'" + on,
		off + "delete from items where book_id = 1" + on,
		"update items set line = 2 where book_id = 20", // these triggers do not tell of the key that is gone
	} {
		s.do(s.odb, sql)
		report := s.run(run.Options{})
		s.noted(report.Manifest, "orderdb.items was not what it should have been, and was read again")
		s.whole(report.Manifest)
	}
}

func TestRunsThatMustReadAll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(run.Options{})
	s.timeline = 2
	for _, c := range []struct {
		o    run.Options
		full bool
	}{{run.Options{}, true}, {run.Options{}, false}, {run.Options{Full: true}, true}, {run.Options{FullEvery: 9 * time.Minute}, false}, {run.Options{FullEvery: 9 * time.Minute}, true}} {
		if report := s.run(c.o); (report.Why != "") != c.full || (report.Manifest.Kind == store.Full) != c.full {
			t.Errorf("%+v: full since %q", c.o, report.Why)
		}
	}
	require(t, s.reader(""), "select count(*) from warehouse.book_history", "1000")
}

// Whatever stops a run, the last good version stays, and the next run carries on.
func TestRunThatFailsLeavesTheLastVersion(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	good := s.run(run.Options{}).Manifest.Run
	no := errors.New("no")
	for name, o := range map[string]run.Options{
		"the equations do not hold": {Check: func(context.Context, *sql.DB, []string) ([]string, error) { return nil, no }},
		"the cut did not survive":   {Confirm: func(context.Context) error { return no }},
	} {
		if _, err := s.try(o); !errors.Is(err, no) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := s.cut()
	defer release(c)
	s.do(s.odb, fmt.Sprintf("select pg_terminate_backend(%d)", c.Snapshots[1].Conn.PgConn().PID()))
	if _, err := runOn(t.Context(), s.dir, c, run.Options{Full: true}); err == nil || !strings.Contains(err.Error(), "orderdb: ") {
		t.Errorf("the database went away: %v", err)
	}
	if v, err := store.AsOf(s.dir, ""); err != nil || v.Run != good {
		t.Errorf("%v: the newest version is %s, not %s", err, v.Run, good)
	}
	s.do(s.bookdb, "delete from books where id = 1")
	s.whole(s.run(run.Options{}).Manifest)
}

// Deltas become one after a while; which rows there are does not change by it.
func TestManyDeltasBecomeOne(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(run.Options{})
	most := 0
	for n := range 30 {
		s.do(s.bookdb, fmt.Sprintf("update books set version = %d where id %% 10 = %d; delete from books where id = %d; delete from stock where book_id = %d", n, n%10, 100+n, n))
		if n%7 == 3 {
			s.do(s.bookdb, fmt.Sprintf("insert into books (id, title, price_cents) overriding system value values (%d, 'Back', 1)", 100+n-1))
		}
		m := s.run(run.Options{}).Manifest
		most = max(most, len(m.Table("bookdb", "public", "books").Deltas))
		if n > 20 {
			s.whole(m)
		}
	}
	if most < 20 || most > 24 {
		t.Errorf("there were up to %d deltas", most)
	}
}

// What an increment reads does not grow with the history: it is compared with the version before. Here the history says
// nothing any more, and still nothing but the change is new.
func TestAnIncrementComparesWithTheVersionBefore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first := s.run(run.Options{})
	file := s.dir + "/" + first.Manifest.History[0].Path
	if _, err := s.reader("").Exec("copy (from read_parquet('" + file + "') limit 0) to '" + file + "' (format parquet)"); err != nil {
		t.Fatal(err)
	}
	s.do(s.bookdb, "update books set price_cents = 7 where id = 1; delete from books where id = 2; update stock set quantity = 8 where book_id = 3")
	s.run(run.Options{})
	require(t, s.reader(""), "select count(*) from warehouse.book_history", "2")
	require(t, s.reader(""), "select price_cents from warehouse.book_history where id = 1", "7")
	require(t, s.reader(""), "select quantity from warehouse.book_history where id = 3", "8")
}

// How a book was more than 400 days ago goes with the next run that reads all; how it is stays, however old.
func TestTheHistoryOfBooksEnds(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	today := s.began
	for _, days := range []int{900, 800, 300, 0} {
		s.began = today.AddDate(0, 0, -days)
		s.do(s.bookdb, fmt.Sprintf("update books set price_cents = %d, version = version + 1 where id = 1", 1000+days))
		if days == 0 {
			s.do(s.bookdb, "delete from books where id = 3")
		}
		s.run(run.Options{Full: true})
	}
	require(t, s.reader(""), "select string_agg(price_cents, ' ' order by valid_from) from warehouse.book_history where id = 1", "1800 1300 1000")
	require(t, s.reader(""), "select count(*) from warehouse.book_history where id = 2 and valid_to is null", "1")
	require(t, s.reader(""), "select count(*) from warehouse.book_history where id = 3 and valid_to is not null", "1")
}
