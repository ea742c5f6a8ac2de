package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/patroni"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/program"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// environment is that of a run against server.
func environment(t *testing.T, server *pgtest.Instance, logins string) func(string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "logins")
	if err := os.WriteFile(file, []byte(logins), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"DB_DSN": server.URL("postgres"), "LOGINS_FILE": file, "LEADER_TIMEOUT": "10s"}
	return func(name string) string { return values[name] }
}

func run(ctx context.Context, getenv func(string) string, log io.Writer) error {
	return program.RunTask(ctx, "migrate", program.Env{Getenv: getenv, Stdout: log}, migrateAll)
}

func allLogins() string {
	var b strings.Builder
	for _, login := range patroni.Logins(patroni.Databases(), patroni.Guests()) {
		b.WriteString(login + " secret-of-" + login + "\n")
	}
	return b.String()
}

// dial connects as a service's login, becoming role unless it is empty.
func dial(t *testing.T, server *pgtest.Instance, login, database, role string) (*pgx.Conn, error) {
	t.Helper()
	cfg, err := pgx.ParseConfig(server.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	cfg.User, cfg.Password = login, "secret-of-"+login
	if role != "" {
		cfg.RuntimeParams["role"] = role
	}
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func TestEverythingIsDeclaredOnceAndIsolated(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Server(t)
	env := environment(t, server, allLogins())
	var first, second strings.Builder
	if err := run(ctx, env, &first); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, env, &second); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(second.String(), `"declared"`) || strings.Contains(second.String(), `"applied":1`) {
		t.Errorf("the second run changed something:\n%s", second.String())
	}
	if strings.Contains(first.String(), "secret-of") {
		t.Error("a password stands in the log")
	}
	for _, d := range patroni.Databases() {
		for _, other := range patroni.Databases() {
			if other.Name != d.Name {
				cannotEnter(t, server, d.Logins[0], other)
			}
		}
		for _, login := range d.Logins {
			mayDoItsWork(t, server, login, d)
		}
		for _, group := range []string{d.Role, d.Schema} {
			if _, err := dial(t, server, group, d.Name, ""); err == nil {
				t.Errorf("%s can log in", group)
			}
		}
		ownsNothing(t, server, d)
	}
}

// A service's login opens so many connections and no more; one of a shop from before, without a limit, gets it.
func TestALoginHasABoundOfConnections(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Start(t, pgtest.Options{})
	env := environment(t, server, allLogins())
	if err := run(ctx, env, io.Discard); err != nil {
		t.Fatal(err)
	}
	d := patroni.Databases()[2]
	login := d.Logins[1]
	if _, err := server.Conn(t, "postgres").Exec(ctx, "alter role "+login+" connection limit -1"); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, env, io.Discard); err != nil {
		t.Fatal(err)
	}
	for n := range d.Connections {
		if _, err := dial(t, server, login, d.Name, d.Role); err != nil {
			t.Fatalf("connection %d: %v", n+1, err)
		}
	}
	var refused *pgconn.PgError
	if _, err := dial(t, server, login, d.Name, d.Role); !errors.As(err, &refused) || refused.Code != "53300" {
		t.Errorf("connection %d: %v", d.Connections+1, err)
	}
	if _, err := dial(t, server, d.Logins[0], d.Name, d.Role); err != nil {
		t.Errorf("the other login: %v", err)
	}
}

// cannotEnter checks that a login gets neither into the other database nor into its owner's role.
func cannotEnter(t *testing.T, server *pgtest.Instance, login string, other patroni.Database) {
	t.Helper()
	if _, err := dial(t, server, login, other.Name, ""); pg.Code(err) != "42501" {
		t.Errorf("%s into %s: %v", login, other.Name, err)
	}
	if _, err := dial(t, server, login, "postgres", other.Role); pg.Code(err) != "42501" {
		t.Errorf("%s as %s: %v", login, other.Role, err)
	}
}

// mayDoItsWork checks that a login has the rights of its role only, and by SET ROLE only.
func mayDoItsWork(t *testing.T, server *pgtest.Instance, login string, d patroni.Database) {
	t.Helper()
	const refused = "42501"
	bare, err := dial(t, server, login, d.Name, "")
	if err != nil {
		t.Fatalf("%s into its own database: %v", login, err)
	}
	for _, sql := range []string{"select id from public.goose_db_version", "create temporary table t (id int)", "set role " + d.Schema, "set role postgres"} {
		if _, err := bare.Exec(context.Background(), sql); pg.Code(err) != refused {
			t.Errorf("%s as itself: %s: %v", login, sql, err)
		}
	}
	serves, err := dial(t, server, login, d.Name, d.Role)
	if err != nil {
		t.Fatalf("%s as %s: %v", login, d.Role, err)
	}
	for sql, want := range map[string]string{
		"select count(*) from branch_markers":                           "",
		"set log_min_messages = 'log'":                                  "", // what is expected to fail is not logged
		"set log_statement = 'none'":                                    refused,
		"set role " + d.Schema:                                          refused,
		"create table mine (id int)":                                    refused,
		"create temporary table mine (id int)":                          refused,
		"create schema mine":                                            refused,
		"create extension hstore":                                       refused,
		"create function mine() returns int language sql as 'select 1'": refused,
		"alter table warehouse_gone add column mine int":                refused,
		"drop table warehouse_gone":                                     refused,
		"truncate warehouse_gone":                                       refused,
		"drop function warehouse_changed()":                             refused,
		"alter database " + d.Name + " set work_mem = '64kB'":           refused,
		"copy warehouse_gone to program 'true'":                         refused,
	} {
		if d.Name != "bookdb" && d.Name != "orderdb" && strings.Contains(sql, "branch_markers") {
			continue
		}
		if _, err := serves.Exec(context.Background(), sql); pg.Code(err) != want {
			t.Errorf("%s: %s: %v, want %q", login, sql, err, want)
		}
	}
}

// ownsNothing checks that all of a database is the schema's role's, and that the service's may write each row.
func ownsNothing(t *testing.T, server *pgtest.Instance, d patroni.Database) {
	t.Helper()
	conn, err := dial(t, server, "postgres", d.Name, "")
	if err != nil {
		t.Fatal(err)
	}
	var left, tables, closed int
	err = conn.QueryRow(context.Background(), `select (select count(*) from pg_shdepend where refobjid = $1::text::regrole and deptype = 'o'),
		count(*), count(*) filter (where not has_table_privilege($1, c.oid, 'select') or not has_table_privilege($1, c.oid, 'insert')
			or not has_table_privilege($1, c.oid, 'update') or not has_table_privilege($1, c.oid, 'delete') or has_table_privilege($1, c.oid, 'truncate'))
		from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace and relowner = $2::text::regrole`, d.Role, d.Schema).Scan(&left, &tables, &closed)
	if err != nil || left != 0 || tables < 3 || closed != 0 {
		t.Errorf("%s: %s owns %d objects and has not just the rows of %d of %d tables, %v", d.Name, d.Role, left, closed, tables, err)
	}
}

// Both logins are one role, so either finishes what the other prepared.
func TestOneLoginFinishesWhatTheOtherPrepared(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Server(t)
	if err := run(ctx, environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	d := patroni.Databases()[1]
	a, errA := dial(t, server, d.Logins[0], d.Name, d.Role)
	b, errB := dial(t, server, d.Logins[1], d.Name, d.Role)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	exec := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(a, "begin")
	exec(a, "insert into branch_markers values ('g1', 'orders', 'prepared', now())")
	exec(a, "prepare transaction 'g1:orders'")
	exec(b, "commit prepared 'g1:orders'")
}

func TestAPasswordThatChangedIsSet(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Server(t)
	if err := run(ctx, environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	rotated := strings.Replace(allLogins(), "secret-of-orderdb_a", "another", 1)
	var log strings.Builder
	if err := run(ctx, environment(t, server, rotated), &log); err != nil {
		t.Fatal(err)
	}
	if strings.Count(log.String(), `"declared"`) != 1 || !strings.Contains(log.String(), "set the password of orderdb_a") {
		t.Errorf("changed:\n%s", log.String())
	}
}

// The verifier that is stored must let the password in under SCRAM.
func TestPasswordsOpenTheDoorUnderSCRAM(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Server(t)
	if err := run(ctx, environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	server.RequirePasswords(t, "paymentdb_a")
	if _, err := dial(t, server, "paymentdb_a", "paymentdb", "paymentdb_owner"); err != nil {
		t.Errorf("the right password: %v", err)
	}
	cfg, err := pgx.ParseConfig(server.URL("paymentdb"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.User, cfg.Password = "paymentdb_a", "wrong"
	if _, err := pgconn.ConnectConfig(ctx, &cfg.Config); pg.Code(err) != "28P01" {
		t.Errorf("a wrong password: %v", err)
	}
}
