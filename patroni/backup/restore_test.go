package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/platform/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// site is a server that archives, its backups, and the directory that restores go to.
type site struct {
	dir        string
	bin        string
	conn       *pgx.Conn
	server     *pgtest.Instance
	repository string // that restores are from
}

// TestRestoreToAPointInTime goes back twice: to before something was written, and then, undoing that, to after
// it. What was prepared and not decided at the point is so again.
func TestRestoreToAPointInTime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(t, "pgbackrest", "--stanza=shop", "stanza-create")
	beginning := s.now(t)
	s.run(t, "pgbackrest", "--stanza=shop", "--repo=1", "--type=full", "backup")

	s.exec(t, "create table written (what text)", "insert into written values ('before')",
		"begin", "insert into written values ('in doubt')", "prepare transaction 'doubt'")
	point := s.now(t)
	s.exec(t, "commit prepared 'doubt'", "insert into written values ('after')")
	later := s.now(t)
	s.archive(t)

	s.refuses(t, "not a time like", "check", "tomorrow")
	s.refuses(t, "has not come yet", "check", "2999-01-01 00:00:00")
	s.refuses(t, "no backup leads to", "check", beginning)
	s.restore(t, "check", point)
	s.restore(t, "to", point)
	s.requireRestored(t, 1, "before")

	// What the first restore undid is on a timeline of its own.
	s.restore(t, "to", later)
	s.requireRestored(t, 0, "after,before,in doubt")
	s.requireProved(t)
}

// The second repository alone leads back, twice, when the first one is lost and the server wrote on without it.
func TestRestoreFromS3Alone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(t, "pgbackrest", "--stanza=shop", "stanza-create")
	s.run(t, "pgbackrest", "--stanza=shop", "--repo=2", "--type=full", "backup")
	s.exec(t, "create table written (what text)", "insert into written values ('before')")
	point := s.now(t)
	if err := os.Rename(s.path("backup"), s.path("lost")); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "insert into written values ('after')")
	later := s.now(t)
	s.exec(t, "select txid_current()")
	segment := s.query(t, "select pg_walfile_name(pg_switch_wal())")
	s.eventually(t, segment+" in S3", func() bool {
		out, err := s.command(t, "pgbackrest", "--stanza=shop", "--repo=2", "info")
		return err == nil && strings.Contains(out, "/"+segment)
	})

	s.repository = "2"
	s.restore(t, "to", point)
	s.requireRestored(t, 0, "before")
	s.restore(t, "to", later)
	s.requireRestored(t, 0, "after,before")
	s.requireProved(t)
}

// requireProved: a backup is verified once a day, and what an earlier key encrypted goes when it has been.
func (s *site) requireProved(t *testing.T) {
	t.Helper()
	out := s.restore(t, "daily")
	if !strings.Contains(out, "all of it can be read") {
		t.Errorf("a backup that was never verified: %s", out)
	}
	older := map[string]string{"1": s.path("backup", "repo"), "2": s.path("s3", "backups", "shop", "repo")}[s.repository]
	if _, err := os.Stat(older); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what an earlier key encrypted: %v", err)
	}
	if out := s.restore(t, "daily"); !strings.Contains(out, "was verified within the last day") {
		t.Errorf("verified again: %s", out)
	}
}

// What is in the repositories is not to be read without the key.
func TestRepositoriesAreEncrypted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(t, "pgbackrest", "--stanza=shop", "stanza-create")
	s.archive(t)
	for _, file := range []string{s.path("backup", "repo-7", "archive", "shop", "archive.info"), s.path("s3", "backups", "shop", "repo-7", "archive", "shop", "archive.info")} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), "Salted__") {
			t.Errorf("%s: %v, begins with %.20q", file, err, text)
		}
	}
	for _, repository := range []string{"1", "2"} {
		out, err := s.command(t, "PGBACKREST_REPO"+repository+"_CIPHER_PASS=other", "pgbackrest", "--stanza=shop", "--repo="+repository, "archive-get",
			s.query(t, "select last_archived_wal from pg_stat_archiver"), s.path("volume", "got"))
		if err == nil {
			t.Errorf("repository %s with another key: %v %s", repository, err, out)
		}
	}
}

func TestRestoreSaysThatTheArchiveEndsBefore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(t, "pgbackrest", "--stanza=shop", "stanza-create")
	s.run(t, "pgbackrest", "--stanza=shop", "--repo=1", "--type=full", "backup")
	s.exec(t, "create table written (what text)")
	s.archive(t)
	s.refuses(t, "the archive ends before that time", "to", s.now(t))
}

// A standby gets what the archive has, and is told at once what it has not.
func TestArchiveGet(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(t, "pgbackrest", "--stanza=shop", "stanza-create")
	segment := s.query(t, "select pg_walfile_name(pg_current_wal_lsn())")
	s.archive(t)
	// A second timeline, whose history is archived.
	history := "00000002.history"
	s.run(t, "sh", "-c", "echo 1 >"+s.path("volume", history))
	s.run(t, "pgbackrest", "--stanza=shop", "--no-archive-async", "archive-push", s.path("volume", history))

	for _, file := range []string{segment, history} {
		s.run(t, "archive_get.sh", file, s.path("volume", "got-"+file))
		if _, err := os.Stat(s.path("volume", "got-"+file)); err != nil {
			t.Error(err)
		}
		s.run(t, "pgbackrest", "--stanza=shop", "archive-get", file, s.path("volume", "asked-"+file))
		s.run(t, "cmp", s.path("volume", "got-"+file), s.path("volume", "asked-"+file))
	}
	for _, file := range []string{"0000000900000000000000FF", "00000003.history"} {
		// pgBackRest, if it were called, would say so.
		out, err := s.command(t, "PGBACKREST_LOG_LEVEL_STDERR=info", "archive_get.sh", file, s.path("volume", "got"))
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || out != "" {
			t.Errorf("%s, which is not there: %v %s", file, err, out)
		}
	}
}

// A segment that the archive has with other contents is refused, unless it is of a timeline that this member
// has left behind: then it must not keep everything after it from the archive.
func TestArchivePush(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.run(t, "pgbackrest", "--stanza=shop", "stanza-create")
	segment := s.query(t, "select pg_walfile_name(pg_current_wal_lsn())")
	s.archive(t)
	mine := s.path("volume", "member", "pg_wal", segment)
	status := s.path("volume", "member", "pg_wal", "archive_status")
	s.run(t, "mkdir", "-p", status, s.path("volume", "member", "global"))
	s.run(t, "cp", s.query(t, "show data_directory")+"/global/pg_control", s.path("volume", "member", "global"))
	s.run(t, "archive_get.sh", segment, mine)
	push := func() (string, error) {
		// As another member, which has not archived it.
		s.run(t, "sh", "-c", "rm -rf "+s.path("volume", "spool")+"; touch "+status+"/"+segment+".ready")
		return s.command(t, "PGBACKREST_PG1_PATH="+s.path("volume", "member"), "PGBACKREST_SPOOL_PATH="+s.path("volume", "spool"),
			"PGBACKREST_LOCK_PATH="+s.path("volume", "lock"), "pgbackrest_push.sh", mine)
	}
	if out, err := push(); err != nil {
		t.Errorf("the same contents: %v %s", err, out)
	}
	s.run(t, "sh", "-c", "printf other | dd of="+mine+" bs=1 seek=100000 conv=notrunc status=none")
	if out, err := push(); err == nil {
		t.Errorf("other contents are taken for archived: %s", out)
	}
	s.run(t, "sh", "-c", "echo 1 >"+filepath.Dir(mine)+"/00000001.history")
	if out, err := push(); err == nil {
		t.Errorf("other contents of the same timeline are taken for archived: %s", out)
	}
	s.run(t, "sh", "-c", "echo 1 >"+filepath.Dir(mine)+"/0000000A.history")
	if out, err := push(); err != nil {
		t.Errorf("other contents of a timeline that was left: %v %s", err, out)
	}
	s.run(t, "archive_get.sh", segment, s.path("volume", "archived"))
	if _, err := s.command(t, "cmp", mine, s.path("volume", "archived")); err == nil {
		t.Error("the archive has the later contents")
	}
}

// config has what patroni/backup/pgbackrest.conf has, with other places.
const config = `[global]
repo1-path=DIR/backup/repo-7
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=key
repo1-retention-full=7
repo2-type=s3
repo2-path=/shop/repo-7
repo2-cipher-type=aes-256-cbc
repo2-cipher-pass=key
repo2-retention-full=7
repo2-s3-endpoint=localhost
repo2-s3-bucket=backups
repo2-s3-region=here
repo2-s3-uri-style=path
repo2-s3-key=access
repo2-s3-key-secret=secret
repo2-storage-port=S3
repo2-storage-ca-file=DIR/ca.pem
lock-path=DIR/spool/lock
spool-path=DIR/spool
io-timeout=5
log-level-file=off
log-level-console=off
log-level-stderr=warn
start-fast=y
[global:archive-push]
archive-async=y
[shop]
pg1-path=DATA
pg1-socket-path=DIR/socket
pg1-port=PORT
`

func newSite(t *testing.T) *site {
	t.Helper()
	bins, err := pgtest.Binaries()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: t.TempDir(), bin: bins[0], repository: "1"}
	for dir := s.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The server's account may not be able to read the checkout.
	if err := os.CopyFS(s.path("image"), os.DirFS("../image")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"socket", "backup", "volume", "spool", "s3"} {
		s.own(t, filepath.Join(s.dir, name))
	}
	s.run(t, "touch", s.path("volume", "restores"))
	command := "archive_command=pgbackrest --config=" + s.path("pgbackrest.conf") + " --stanza=shop archive-push %p"
	settings := []string{"archive_mode=on", command, "unix_socket_directories=" + s.path("socket")}
	s.server = pgtest.Start(t, pgtest.Options{Settings: settings})
	s.conn = s.server.Conn(t, "postgres")
	_, port, _ := strings.Cut(s.server.Addr(), ":")
	config := strings.NewReplacer("DIR", s.dir, "S3", s.startS3(t), "DATA", s.query(t, "show data_directory"), "PORT", port).Replace(config)
	if err := os.WriteFile(s.path("pgbackrest.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(t, "pgbackrest", "--repo=2", "repo-create")
	// As an earlier key left them.
	s.run(t, "mkdir", "-p", s.path("backup", "repo", "archive"), s.path("s3", "backups", "shop", "repo"))
	s.run(t, "touch", s.path("s3", "backups", "shop", "repo", "of an earlier key"))
	// Under Patroni they stand in a file, which the backup holds: a recovery needs them.
	for _, setting := range append(settings, "max_connections=500", "max_prepared_transactions=200") {
		name, value, _ := strings.Cut(setting, "=")
		s.exec(t, "alter system set "+name+" = '"+value+"'")
	}
	return s
}

func (s *site) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// own makes a directory for the server's account.
func (s *site) own(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if c := credential(t); c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// credential is the account that runs PostgreSQL where we are root, which it does not run as.
func credential(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil {
		t.Fatalf("user postgres has uid %s and gid %s", u.Uid, u.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// command runs a program as the server's account, with the environment of a member.
func (s *site) command(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	path := strings.Join([]string{s.path("image"), s.bin, os.Getenv("PATH")}, ":")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	environment := []string{
		"PATH=" + path, "PGBACKREST_CONFIG=" + s.path("pgbackrest.conf"),
		"DATA_DIR=" + s.path("volume"), "BACKUP_DIR=" + s.path("backup"), "REPOSITORY=" + s.repository, "RESTORES=" + s.path("volume", "restores"), name,
	}
	cmd := exec.CommandContext(ctx, "env", append(environment, args...)...)
	cmd.Dir, cmd.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: credential(t)}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := s.command(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	} else if out != "" {
		t.Log(out)
	}
	return out
}

// restore does a step, and keeps the record of it as the operator's command does.
func (s *site) restore(t *testing.T, args ...string) string {
	t.Helper()
	out := s.run(t, "restore.sh", args...)
	for line := range strings.Lines(out) {
		if record, ok := strings.CutPrefix(line, "restore: record "); ok {
			s.run(t, "sh", "-c", "printf '%s' '"+record+"' >>"+s.path("volume", "restores"))
		}
	}
	return out
}

func (s *site) refuses(t *testing.T, why string, args ...string) {
	t.Helper()
	if out, err := s.command(t, "restore.sh", args...); err == nil || !strings.Contains(out, why) {
		t.Errorf("restore.sh %s: %v, want it to fail with %q:\n%s", strings.Join(args, " "), err, why, out)
	}
}

func (s *site) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (s *site) query(t *testing.T, sql string) (answer string) {
	t.Helper()
	if err := s.conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// now is a point in time that lies between what was done before and what is done after.
func (s *site) now(t *testing.T) string {
	t.Helper()
	return s.query(t, "select to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.US') from pg_sleep(0.01)")
}

// archive waits until all that was written so far is in the archive.
func (s *site) archive(t *testing.T) {
	t.Helper()
	s.exec(t, "select txid_current()")
	segment := s.query(t, "select pg_walfile_name(pg_switch_wal())")
	s.eventually(t, segment+" in the archive", func() bool {
		return s.query(t, "select (coalesce(last_archived_wal, '') >= '"+segment+"')::text from pg_stat_archiver") == "true"
	})
}

// eventually waits a minute at most.
func (s *site) eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// requireRestored starts a server on what was restored and looks at it.
func (s *site) requireRestored(t *testing.T, prepared int, written string) {
	t.Helper()
	single := fmt.Sprintf("postgres --single -D %s -c max_prepared_transactions=200 postgres", s.path("volume", "restored"))
	out, err := s.command(t, "sh", "-c", `echo "select string_agg(what, ',' order by what) || '; ' ||
		(select count(*) from pg_prepared_xacts) as found from written" | tr '\n' ' ' | `+single)
	if want := fmt.Sprintf("found = %q", fmt.Sprintf("%s; %d", written, prepared)); err != nil || !strings.Contains(out, want) {
		t.Errorf("restored: %v, want %s in\n%s", err, want, out)
	}
}
