package run_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/warehouse/run"
	"bookstore/warehouse/store"
)

// missing is what a version says of a table of orderdb; nil: nothing.
func missing(m *store.Manifest, table string) *store.Missing {
	for i := range m.Missing {
		if m.Missing[i].Table == table {
			return &m.Missing[i]
		}
	}
	return nil
}

// A value that has no place in the type that its column has here makes the column text, which is said; the next runs keep
// to it, and everything else is as ever.
func TestWhatATypeHasNoPlaceForIsText(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do(s.odb, `create type pair as (a int, b text);
		create table odd (id int primary key, grid int[], price numeric(9,2), at timestamp, day date, doc json, docs jsonb[], list numeric(5,1)[], huge numeric,
			span int4range, spans int4multirange, two pair, twos pair[], bytes bytea, "with "" and . and '" int, "select" text, ".at" int, looked_at int, e_ int[]);
		insert into odd values (1, '{{1,2},{3,4}}', 'NaN', '294276-12-31 23:59:59', 'infinity', '{"a": "\\ud800"}', array['{"a":1}'::jsonb], '{NaN}', 'NaN',
			'[1,5)', '{[1,2),[3,4)}', '(1,x)', array['(1,x)'::pair], '\\x00', 1, 's', 2, 3, '{1}'),
			(2, '{5}', 1.5, '2026-01-01', '0044-03-15 BC', '{}', '{}', '{1.5}', 1e300, 'empty', '{}', null, '{}', '', null, null, null, null, '{{1},{2}}')`)
	report := s.run(run.Options{})
	if len(report.Manifest.Missing) > 0 {
		t.Fatalf("missing: %v", report.Manifest.Missing)
	}
	for _, column := range []string{"grid", "price", "at", "list", "e_"} {
		if !slices.ContainsFunc(report.Manifest.Notes, func(n string) bool { return strings.HasPrefix(n, "orderdb.odd."+column+" is text here") }) {
			t.Errorf("nothing is said of %s: %q", column, report.Manifest.Notes)
		}
	}
	s.whole(report.Manifest)
	db := s.reader("")
	for query, want := range map[string]string{
		"select grid from orderdb.odd where id = 1": "{{1,2},{3,4}}", "select price from orderdb.odd where id = 1": "NaN",
		`select "at" from orderdb.odd where id = 1`: "294276-12-31 23:59:59", "select huge || two from orderdb.odd where id = 1": "NaN(1,x)",
		`select "with "" and . and '" from orderdb.odd where id = 1`: "1", `select ".at_2" from orderdb.odd where id = 1`: "2",
		"select docs[1] from orderdb.odd where id = 1": `{"a": 1}`, "select day = 'infinity' from orderdb.odd where id = 1": "true",
		"select typeof(id) || typeof(day) || typeof(docs) from orderdb.odd limit 1":    "INTEGERDATEJSON[]",
		"select count(*) from warehouse.columns where \"table\" = 'odd' and not exact": "10",
	} {
		require(t, db, query, want)
	}
	s.do(s.odb, "delete from odd where id = 1; select warehouse_track('odd')")
	s.whole(s.run(run.Options{}).Manifest)
	s.do(s.odb, "insert into odd (id, grid) values (3, '{{1}}')")
	next := s.run(run.Options{})
	s.whole(next.Manifest)
	if next.Why != "" || len(next.Manifest.Table("orderdb", "public", "odd").Deltas) != 1 {
		t.Errorf("it is not carried on: %+v", next.Manifest.Table("orderdb", "public", "odd"))
	}
	s.do(s.odb, "delete from odd; alter table odd drop column e_")
	s.whole(s.run(run.Options{Full: true}).Manifest)
	require(t, s.reader(""), "select distinct \"type\" from warehouse.columns where \"table\" = 'odd' and \"column\" = 'price'", "DECIMAL(9,2)")
}

// A value that does not fit may come later, among what changed.
func TestAChangeThatHasNoPlaceMakesTheColumnText(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do(s.odb, "create table prices (id int primary key, price numeric(9,2)); select warehouse_track('prices'); insert into prices values (1, 1.5)")
	s.run(run.Options{})
	s.do(s.odb, "insert into prices values (2, 'NaN')")
	for range 2 {
		report := s.run(run.Options{})
		if len(report.Manifest.Missing) > 0 || report.Why != "" {
			t.Errorf("missing %v, in full since %q", report.Manifest.Missing, report.Why)
		}
		s.whole(report.Manifest)
		require(t, s.reader(""), "select string_agg(price, ' ' order by id) from orderdb.prices", "1.50 NaN")
	}
}

// DuckDB takes Id and id for the same name, of columns and of tables.
func TestNamesThatDifferInCaseAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do(s.odb, `create table twins ("Id" int, id int, "ID" text, "id_2" int, primary key ("Id", id)); select warehouse_track('twins');
		insert into twins values (1, 2, 'three', 4); create table "Twins" (a int); insert into "Twins" values (7);
		create table "`+strings.Repeat("ä", 31)+`" (a int)`)
	s.run(run.Options{})
	s.do(s.odb, `update twins set "ID" = 'four'; insert into twins values (5, 6, 'x', 8); delete from twins where id = 6`)
	report := s.run(run.Options{})
	s.whole(report.Manifest)
	if len(report.Manifest.Missing) > 0 {
		t.Errorf("missing: %v", report.Manifest.Missing)
	}
	db := s.reader("")
	require(t, db, `select concat_ws(' ', id, "Id_3", "ID_4", id_2) from orderdb.twins`, "2 1 four 4")
	require(t, db, `select a from orderdb."Twins_2"`, "7")
	s.noted(report.Manifest, "orderdb.twins.Id is Id_3 here: another column's name differs in case alone")
}

// A table that cannot be read is what it was before, or is not there; the others are as of the cut. Both are said, and so is
// when it is over.
func TestATableThatCannotBeReadStopsNoOther(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm, mend, why string
	}{
		"no permission": {"create policy none on broken using (false); alter table broken enable row level security, force row level security; grant select on all tables in schema public to public",
			"alter table broken disable row level security", "row-level security"},
		"a tag that nobody understands": {"comment on column broken.t is 'warehouse: hsh'", "comment on column broken.t is null", `"hsh"`},
		"a line that is too long":       {"update broken set t = repeat('x', 9000000) where id = 7", "update broken set t = 'x' where id = 7", "DuckDB: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.do(s.odb, "create table broken (id int primary key, t text); select warehouse_track('broken'); insert into broken select i, 'x' from generate_series(1, 1000) i")
			s.do(s.odb, "create role reader login; grant pg_read_all_data to reader; grant usage on schema public to reader")
			s.sql = strings.Replace(s.sql, "postgres@", "reader@", 1)
			good := s.run(run.Options{}).Manifest
			s.do(s.odb, c.harm+"; update items set note = 'new'; insert into broken values (2000, 'late')")
			for n, o := range []run.Options{{}, {Full: true}} {
				m := s.run(o).Manifest
				found := missing(m, "broken")
				if len(m.Missing) != 1 || found == nil || found.Run != good.Run || !strings.Contains(found.Why, c.why) {
					t.Fatalf("run %d: missing %+v", n, m.Missing)
				}
				db := s.reader("")
				require(t, db, "select count(*) from orderdb.items where note = 'new'", "1000")
				require(t, db, "select count(*) from orderdb.broken", "1000")
				require(t, db, "select run from warehouse.missing where \"table\" = 'broken'", good.Run)
				s.noted(m, found.String())
			}
			s.do(s.odb, c.mend)
			m := s.run(run.Options{}).Manifest
			if len(m.Missing) > 0 {
				t.Errorf("missing: %v", m.Missing)
			}
			s.sql = strings.Replace(s.sql, "reader@", "postgres@", 1)
			s.whole(m)
			require(t, s.reader(""), "select count(*) from orderdb.broken", "1001")
		})
	}
}

// One that is locked, or takes too long, or loses its connection, costs its own time and no other table.
func TestATableThatTakesTooLongStopsNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do(s.odb, "create table broken (id int primary key); insert into broken values (1); create table ended (id int)")
	locker := s.connect(s.sql)
	s.do(locker, "begin; lock table broken, ended in access exclusive mode")
	killer := s.connect(s.sql)
	watching, stop := context.WithTimeout(t.Context(), time.Minute)
	var killed sync.WaitGroup
	defer func() { stop(); killed.Wait() }()
	killed.Go(func() { // whoever reads it loses the connection
		_, err := killer.Exec(watching, `do $$ begin loop
			perform pg_terminate_backend(pid) from pg_stat_activity where query like 'copy (select%ended%' and wait_event_type = 'Lock';
			exit when found;
			perform pg_sleep(0.02), pg_stat_clear_snapshot();
		end loop; end $$`)
		if err != nil {
			t.Error(err)
		}
	})
	began := time.Now()
	var told []string
	m := s.run(run.Options{TableTime: 2 * time.Second, Check: func(_ context.Context, _ *sql.DB, missing []string) ([]string, error) {
		told = missing
		return []string{"something"}, nil
	}}).Manifest
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if found := missing(m, "broken"); found == nil || found.Run != "" || !strings.Contains(found.Why, "longer than one table may") {
		t.Errorf("missing %v", m.Missing)
	}
	if found := missing(m, "ended"); found == nil || !strings.Contains(found.Why, "PostgreSQL: ") {
		t.Errorf("missing %v", m.Missing)
	}
	if !slices.Equal(told, []string{"orderdb.broken", "orderdb.ended"}) || !slices.Equal(m.Unchecked, []string{"something"}) {
		t.Errorf("the equations were told of %q, and %q are said not to be checked", told, m.Unchecked)
	}
	db := s.reader("")
	require(t, db, "select count(*) from (show all tables) where name = 'broken'", "0")
	require(t, db, "select equation from warehouse.unchecked", "something")
	require(t, db, "select count(*) from orderdb.items", "1000")
	s.noted(m, "not checked whether something")
	s.do(locker, "rollback")
	m = s.run(run.Options{}).Manifest
	if len(m.Missing) > 0 {
		t.Errorf("missing %v", m.Missing)
	}
	require(t, s.reader(""), "select count(*) from orderdb.broken", "1")
}

// Where no table can be read there is no version.
func TestNoTableIsNoVersion(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	good := s.run(run.Options{}).Manifest.Run
	_, err := s.try(run.Options{Full: true, TableTime: time.Nanosecond})
	if err == nil || !strings.Contains(err.Error(), "no table can be read") {
		t.Error(err)
	}
	if v, err := store.AsOf(s.dir, ""); err != nil || v.Run != good {
		t.Errorf("%v: the newest version is %s, not %s", err, v.Run, good)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	c := s.cut()
	defer release(c)
	if _, err := runOn(ctx, s.dir, c, run.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was ended: %v", err)
	}
}
