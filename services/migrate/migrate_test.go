package migrate_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/migrate"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/program"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// run runs the task against the server at dsn. What fails before the first migration needs none.
func run(t *testing.T, dsn, logins, leaderTimeout string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "logins")
	if err := os.WriteFile(file, []byte(logins), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"DB_DSN": dsn, "LOGINS_FILE": file, "LEADER_TIMEOUT": leaderTimeout}
	env := program.Env{Getenv: func(name string) string { return values[name] }, Stdout: io.Discard}
	return program.RunTask(t.Context(), "migrate", env, migrate.All(map[string]fs.FS{}))
}

func TestAnUnfitServerIsRefusedClearly(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Options{Settings: []string{"max_prepared_transactions=0", "synchronous_commit=off"}})
	err := run(t, server.URL("postgres"), "bookdb_a x\n", "10s")
	if err == nil || !strings.Contains(err.Error(), "max_prepared_transactions is 0") || !strings.Contains(err.Error(), "synchronous_commit is off") {
		t.Errorf("got %v", err)
	}
}

func TestNoLeaderInTimeIsOneClearError(t *testing.T) {
	t.Parallel()
	err := run(t, "postgres://u@127.0.0.1:1/postgres?sslmode=disable", "bookdb_a x\n", "600ms")
	if err == nil || !strings.Contains(err.Error(), "no database member took writes within 600ms") {
		t.Errorf("got %v", err)
	}
}

func TestBadLoginsFileIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"missing": "bookdb_a x\n", "malformed": "bookdb_a\n", "spaces": "bookdb_a hunter2 hunter3\n"} {
		err := run(t, pgtest.Server(t).URL("postgres"), text, "10s")
		if err == nil || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
