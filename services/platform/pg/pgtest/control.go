package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Kill ends every process of the server at once, as a crash does.
func (i *Instance) Kill(t testing.TB) { i.stop(t, syscall.SIGQUIT) }

// Stop shuts the server down in an orderly way; prepared transactions stay.
func (i *Instance) Stop(t testing.TB) { i.stop(t, syscall.SIGINT) }

// KillNine ends the server's first process with a signal that it cannot catch,
// as the kernel does when memory runs out; the others end when they notice.
func (i *Instance) KillNine(t testing.TB) { i.stop(t, syscall.SIGKILL) }

func (i *Instance) stop(t testing.TB, how syscall.Signal) {
	t.Helper()
	if i.process == nil {
		t.Fatal("the server is not running")
	}
	i.process.stop(how)
	i.process = nil
}

// Restart starts a stopped server again on its data and its port.
func (i *Instance) Restart(t testing.TB) {
	t.Helper()
	if i.process != nil {
		t.Fatal("the server is running")
	}
	// After a kill -9 the last processes of the old server may still be leaving.
	deadline, tick := time.After(startTimeout), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		err := i.launch()
		if err == nil {
			return
		}
		if !strings.Contains(i.log(), "still in use") && !strings.Contains(i.log(), "already in use") {
			t.Fatalf("start PostgreSQL again: %v\n%s", err, i.log())
		}
		select {
		case <-deadline:
			t.Fatalf("start PostgreSQL again: %v\n%s", err, i.log())
		case <-tick.C:
		}
	}
}

// HoldCommits makes every commit wait for a standby that does not exist, and
// returns when they do: a reload takes effect a moment after its call.
func (i *Instance) HoldCommits(t testing.TB) {
	t.Helper()
	i.standbys(t, "nobody")
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		err := i.exec(ctx, "select pg_logical_emit_message(true, 'probe', '')")
		cancel()
		if err != nil {
			i.forgetProbe(t)
			return
		}
	}
	t.Fatal("commits do not wait for the standby")
}

// forgetProbe waits for the end of a commit that nobody waits for any more: it
// would be taken for one of the test's.
func (i *Instance) forgetProbe(t testing.TB) {
	t.Helper()
	for range 400 {
		if i.queryText(context.Background(), t, "select count(*)::text from pg_stat_activity where wait_event = 'SyncRep'") == "0" {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Fatal("a probe of whether commits wait does not end")
}

// ReleaseCommits ends what HoldCommits began.
func (i *Instance) ReleaseCommits(t testing.TB) {
	t.Helper()
	i.standbys(t, "")
}

func (i *Instance) standbys(t testing.TB, names string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), i.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // its work is done
	for _, sql := range []string{"set synchronous_commit = local", "alter system set synchronous_standby_names = '" + names + "'"} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	i.Reload(t)
}

// Log is what the server has logged since it was last started.
func (i *Instance) Log() string { return i.log() }

// RequirePasswords makes the server require these roles' passwords from now on; all
// other roles need none.
func (i *Instance) RequirePasswords(t testing.TB, roles ...string) {
	t.Helper()
	var rules []string
	for _, role := range roles {
		rules = append(rules, fmt.Sprintf("host all %s 127.0.0.1/32 scram-sha-256", role))
	}
	i.Admit(t, append(rules, "host all all 127.0.0.1/32 trust")...)
}

// Admit replaces the server's authentication rules, the lines of pg_hba.conf. The
// superuser still needs no password.
func (i *Instance) Admit(t testing.TB, rules ...string) {
	t.Helper()
	text := strings.Join(append([]string{"host all postgres 127.0.0.1/32 trust"}, rules...), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(i.data(), "pg_hba.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	i.Reload(t)
}

// Reload makes the server read its configuration again and returns when every
// new connection goes by it.
func (i *Instance) Reload(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	const loaded = "select pg_conf_load_time()::text"
	before := i.queryText(ctx, t, loaded)
	i.queryText(ctx, t, "select pg_reload_conf()::text")
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i.queryText(ctx, t, loaded) == before {
		<-tick.C
	}
}

// queryText runs a query of one text value on a new connection.
func (i *Instance) queryText(ctx context.Context, t testing.TB, sql string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, i.URL("postgres"))
	if err == nil {
		err = errors.Join(conn.QueryRow(ctx, sql).Scan(&value), conn.Close(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// EnableTLS makes the server offer TLS with this certificate and key, both in
// one PEM text.
func (i *Instance) EnableTLS(t testing.TB, certAndKey string) {
	t.Helper()
	path := filepath.Join(i.data(), "server.pem")
	if err := os.WriteFile(path, []byte(certAndKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if i.account != nil {
		if err := os.Chown(path, int(i.account.uid), int(i.account.gid)); err != nil {
			t.Fatal(err)
		}
	}
	for _, setting := range []string{"ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.pem'", "ssl = on"} {
		if err := i.exec(context.Background(), "alter system set "+setting); err != nil {
			t.Fatal(err)
		}
	}
	i.Reload(t)
}
