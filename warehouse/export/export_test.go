package export_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"bookstore/services/platform/pg/pgtest"
	"bookstore/warehouse/catalogue"
	"bookstore/warehouse/export"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// snapshot is a fresh database after some SQL, in a snapshot of it.
func snapshot(t *testing.T, statements string) *pgx.Conn {
	t.Helper()
	ctx := context.Background()
	migrations := fstest.MapFS{"00001_empty.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}
	conn, err := pgx.Connect(ctx, pgtest.DSN(t, migrations))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	for _, sql := range []string{statements, "begin isolation level repeatable read read only"} {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	if err := export.Configure(ctx, conn); err != nil {
		t.Fatal(err)
	}
	return conn
}

func table(t *testing.T, conn *pgx.Conn, name string) *catalogue.Table {
	t.Helper()
	tables, err := catalogue.Read(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tables {
		if tables[i].Name == name {
			return &tables[i]
		}
	}
	t.Fatalf("there is no table %s", name)
	return nil
}

func open(t *testing.T) *sql.DB {
	t.Helper()
	duck, err := export.Open("", export.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = duck.Close() })
	return duck
}

const everyType = `
create type mood as enum ('glad', 'it''s "odd", too');
create domain cents as numeric(12,2);
create domain tags as text[];
create table everything (
	a int2, b int4, c int8, d numeric(38,10), e numeric(5,0), f bool, g text, h varchar(9), i char(5),
	j date, k timestamp, l timestamptz, m time, n interval, o uuid, p json, q jsonb, r bytea, s mood,
	t float4, u float8, v xid8, w cents, x tags, y numeric, z numeric(50,3), aa tsvector, ab inet, ac money, ad point,
	ae int8[], af text[], ag timestamptz[], ah uuid[], ai jsonb[], aj bytea[], ak mood[], al numeric(9,3)[], am bool[],
	an float8[], ao text[][], ap date[], aq int4range, ar char(3)[], "Odd ""name', 1" int, at time[], au timetz, av cents[], aw inet[]
);
insert into everything values (
	-32768, 2147483647, -9223372036854775808, 1234567890123456789012345678.0123456789, 99999, true, E'a,"b"\n\r\nc\\.\t', '', 'ab',
	'2026-11-23', '2026-11-23 06:15:00.1', '2026-11-23 06:15:00.123456+02', '23:59:59.999999', '1 year 2 days 03:04:05.6',
	'7335a8ac-5522-4c75-81b3-b1af62df0466', '{"a" : [1.10, null]}', '{"b": "\u00e9 \"x\" \\\\", "n": 123456789012345678901234567890, "e": 1e300}', '\x00ff0a', 'it''s "odd", too',
	0.1, 1e15, '18446744073709551615', 12.5, '{x,NULL,"",",\""}', 1e50, 1.5, 'fat:1 cat:2', '10.0.0.1/8', 12.34, '(1,2)',
	'{1,NULL,-3}', E'{a,NULL,"","b,\\"c\\"\n"}', '{2026-11-23 06:15:00.5+00,infinity,-infinity,NULL}', '{7335a8ac-5522-4c75-81b3-b1af62df0466}',
	array['{"a": 1}', null, '"x"']::jsonb[], array['\x00ff', null, '']::bytea[], '{glad,NULL}', '{1.500,NULL}', '{t,f,NULL}',
	'{0.1,NaN,-0,Infinity,NULL}', '{{a,b},{NULL,""}}', '{2026-11-23,0044-03-15 BC,infinity}', '[1,5)', '{ab}', 7, '{24:00:00}', '12:00+01', '{1.25}', '{10.0.0.1}');
insert into everything (j, k, l, m, g, t, u, d, q, r, ae, af, ao, f) values
	('0044-03-15 BC', '0044-03-15 10:00:00 BC', '0044-03-15 10:00:00.5+00 BC', '24:00', '\N', 'NaN', '-0', 0.1, 'null', '', '{}', '{}', '{}', false),
	('infinity', '-infinity', 'infinity', '00:00', '\.', '-Infinity', 5e-324, -0.1, '"\t"', '\x', '{NULL}', '{""}', '{{x}}', null),
	('12345-01-01', '12345-01-01', '12345-01-01 00:00:01+00', null, ' BC', 1e-30, 123456789.123456789, null, '[]', null, null, null, null, null);
insert into everything default values;
`

func TestEveryTypeArrivesAsItIs(t *testing.T) {
	t.Parallel()
	conn, duck := snapshot(t, everyType), open(t)
	everything := table(t, conn, "everything")
	path := filepath.Join(t.TempDir(), "everything.parquet")
	size, err := export.Table(t.Context(), duck, conn, everything, "", path)
	if err != nil {
		t.Fatal(err)
	}
	if size.Rows != 5 || size.Bytes == 0 {
		t.Errorf("wrote %+v", size)
	}
	// One column at a time, so that a failure names it.
	for _, c := range everything.Columns {
		one := *everything
		one.Columns = []catalogue.Column{c}
		requireSame(t, conn, duck, &one, "'"+path+"'", true)
	}
	requireSame(t, conn, duck, everything, "'"+path+"'", true)
	var types string
	err = duck.QueryRowContext(t.Context(), "select string_agg(column_type, ' ') from (describe select a, d, e, f, i, j, k, l, m, o, p, q, r, v, w, x, y, aa, ae, ag, ai, aj, al, ao from '"+path+"')").Scan(&types)
	if err != nil {
		t.Fatal(err)
	}
	const want = "SMALLINT DECIMAL(38,10) DECIMAL(5,0) BOOLEAN VARCHAR DATE TIMESTAMP TIMESTAMP WITH TIME ZONE TIME UUID JSON JSON BLOB UBIGINT " +
		"DECIMAL(12,2) VARCHAR[] VARCHAR VARCHAR BIGINT[] TIMESTAMP WITH TIME ZONE[] JSON[] BLOB[] DECIMAL(9,3)[] VARCHAR[][]"
	if types != want {
		t.Errorf("the types are\n%s, not\n%s", types, want)
	}
}

func requireSame(t *testing.T, conn *pgx.Conn, duck *sql.DB, table *catalogue.Table, from string, same bool) {
	t.Helper()
	source, err := export.Source(t.Context(), conn, table, nil)
	arrived, errDuck := export.Arrived(t.Context(), duck, table, from, nil)
	if err := errors.Join(err, errDuck); err != nil {
		t.Fatal(err)
	}
	if (source == arrived) != same {
		t.Errorf("%s (%s …): PostgreSQL has %+v, the warehouse %+v", table.Columns[0].Name, table.Columns[0].Type, source, arrived)
	}
}

// A checksum that any change of any value leaves as it was would prove nothing.
func TestChecksumSeesEveryChange(t *testing.T) {
	t.Parallel()
	conn, duck := snapshot(t, "create table pairs (id int primary key, a text, b text); insert into pairs values (1, 'x', 'y'), (2, null, ''), (3, 'x', 'y')"), open(t)
	pairs := table(t, conn, "pairs")
	for name, c := range map[string]struct {
		rows string
		same bool
	}{
		"the rows, in another order": {"(3, 'x', 'y'), (1, 'x', 'y'), (2, null, '')", true},
		"a row less":                 {"(1, 'x', 'y'), (2, null, '')", false},
		"a row twice for another":    {"(1, 'x', 'y'), (2, null, ''), (1, 'x', 'y')", false},
		"an empty text for a null":   {"(1, 'x', 'y'), (2, '', ''), (3, 'x', 'y')", false},
		"values moved on":            {"(1, 'xy', ''), (2, null, ''), (3, 'x', 'y')", false},
		"columns swapped":            {"(1, 'y', 'x'), (2, null, ''), (3, 'x', 'y')", false},
		"another letter":             {"(1, 'x', 'Y'), (2, null, ''), (3, 'x', 'y')", false},
	} {
		t.Log(name)
		requireSame(t, conn, duck, pairs, "(values "+c.rows+") as v (id, a, b)", c.same)
	}
}

func TestWhatIsTaggedStaysAtHome(t *testing.T) {
	t.Parallel()
	conn, duck := snapshot(t, `create table people (id int primary key, name text, token text);
		comment on column people.name is 'Who. warehouse: omit'; comment on column people.token is 'warehouse: hash';
		insert into people values (1, 'Ann', 'secret'), (2, 'Bob', null)`), open(t)
	people := table(t, conn, "people")
	path := filepath.Join(t.TempDir(), "people.parquet")
	if _, err := export.Table(t.Context(), duck, conn, people, "", path); err != nil {
		t.Fatal(err)
	}
	requireSame(t, conn, duck, people, "'"+path+"'", true)
	var columns, token string
	var none bool
	err := duck.QueryRowContext(t.Context(), `select (select string_agg(column_name, ' ') from (describe from '`+path+`')),
		max(token), bool_or(token is null and id = 2) from '`+path+`'`).Scan(&columns, &token, &none)
	const hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
	if err != nil || columns != "id token" || token != hash || !none {
		t.Errorf("%v: columns %s, token %s, null kept: %v", err, columns, token, none)
	}
}
