package main

import (
	"context"
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
			worksAsOwner(t, server, login, d)
		}
		if _, err := dial(t, server, d.Owner, d.Name, ""); err == nil {
			t.Errorf("%s can log in", d.Owner)
		}
	}
}

// cannotEnter checks that a login gets neither into the other database nor into its owner's role.
func cannotEnter(t *testing.T, server *pgtest.Instance, login string, other patroni.Database) {
	t.Helper()
	if _, err := dial(t, server, login, other.Name, ""); pg.Code(err) != "42501" {
		t.Errorf("%s into %s: %v", login, other.Name, err)
	}
	if _, err := dial(t, server, login, "postgres", other.Owner); pg.Code(err) != "42501" {
		t.Errorf("%s as %s: %v", login, other.Owner, err)
	}
}

// worksAsOwner checks that a login has rights as the owner only.
func worksAsOwner(t *testing.T, server *pgtest.Instance, login string, d patroni.Database) {
	t.Helper()
	ctx := context.Background()
	bare, err := dial(t, server, login, d.Name, "")
	if err != nil {
		t.Fatalf("%s into its own database: %v", login, err)
	}
	if _, err := bare.Exec(ctx, "select id from public.goose_db_version"); pg.Code(err) != "42501" {
		t.Errorf("%s reads without SET ROLE: %v", login, err)
	}
	if _, err := bare.Exec(ctx, "create temporary table t (id int)"); pg.Code(err) != "42501" {
		t.Errorf("%s makes a temporary table: %v", login, err)
	}
	owner, err := dial(t, server, login, d.Name, d.Owner)
	if err != nil {
		t.Fatalf("%s as owner: %v", login, err)
	}
	var user string
	var tables int
	err = owner.QueryRow(ctx, "select current_user, count(*) from pg_tables where schemaname = 'public' and tableowner = current_user").Scan(&user, &tables)
	if err != nil || user != d.Owner || tables < 2 {
		t.Errorf("%s is %s and owns %d tables, %v", login, user, tables, err)
	}
	if _, err := owner.Exec(ctx, "set log_min_messages = 'log'"); err != nil {
		t.Errorf("%s keeps what it expects to fail out of the log: %v", login, err)
	}
	if _, err := owner.Exec(ctx, "set log_statement = 'none'"); pg.Code(err) != "42501" {
		t.Errorf("%s sets what only a superuser may: %v", login, err)
	}
}

// Both logins are one owner, so either finishes what the other prepared.
func TestOneLoginFinishesWhatTheOtherPrepared(t *testing.T) {
	ctx := context.Background()
	server := pgtest.Server(t)
	if err := run(ctx, environment(t, server, allLogins()), io.Discard); err != nil {
		t.Fatal(err)
	}
	d := patroni.Databases()[1]
	a, errA := dial(t, server, d.Logins[0], d.Name, d.Owner)
	b, errB := dial(t, server, d.Logins[1], d.Name, d.Owner)
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
