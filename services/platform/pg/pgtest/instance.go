package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Instance is a running PostgreSQL server on 127.0.0.1.
type Instance struct {
	bin      string
	dir      string // holds data/ and log
	port     int
	settings []string
	account  *account  // whom the server runs as; nil: as us
	leader   *Instance // whose standby it is; nil: nobody's

	databases atomic.Int64
	mu        sync.Mutex
	templates map[string]string // digest of the migrations -> template database
	process   *process          // nil while stopped
}

// startTimeout bounds initdb and the first connection, machine busy or not.
const startTimeout = 60 * time.Second

const dirPrefix = "bookstore-pgtest-"

func start(o Options) (*Instance, error) {
	if o.Bin == "" {
		all, err := Binaries()
		if err != nil {
			return nil, err
		}
		o.Bin = all[0]
	}
	var err error
	i := &Instance{bin: o.Bin, templates: map[string]string{}, settings: settings(o), leader: o.Follow}
	if os.Getuid() == 0 {
		// PostgreSQL refuses to run as root.
		if i.account, err = lookup("postgres"); err != nil {
			return nil, err
		}
	}
	if err := i.prepare(); err != nil {
		i.close()
		return nil, err
	}
	if err := i.up(); err != nil {
		i.close()
		return nil, err
	}
	return i, nil
}

func settings(o Options) []string {
	s := []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=500",
		"max_prepared_transactions=200", "shared_buffers=64MB", "timezone=UTC", "log_timezone=UTC",
		"autovacuum_naptime=1h", "max_wal_size=512MB",
	}
	if !o.Fsync {
		s = append(s, "fsync=off", "full_page_writes=off")
	}
	return append(s, o.Settings...)
}

// prepare makes the directory and the empty cluster in it.
func (i *Instance) prepare() error {
	sweep()
	dir, err := os.MkdirTemp("", dirPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	i.dir = dir
	if i.account != nil {
		if err := os.Chown(dir, int(i.account.uid), int(i.account.gid)); err != nil {
			return fmt.Errorf("hand over the data directory: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	// The password-less superuser is reachable from this machine alone. The locale is that of the real cluster
	// (patroni/patroni.yml): in another, classes of regular expressions have other characters.
	program, args := "initdb", []string{
		"--pgdata", i.data(), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
	}
	if i.leader != nil {
		program, args = "pg_basebackup", []string{
			"--pgdata", i.data(), "--dbname", i.leader.URL("postgres"), "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(i.bin, program), args...)
	cmd.Dir, cmd.SysProcAttr = dir, i.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

func (i *Instance) data() string { return filepath.Join(i.dir, "data") }

// attributes run a child as the account and end it with this process, even
// when that is killed: SIGQUIT is PostgreSQL's immediate shutdown.
func (i *Instance) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if i.account != nil {
		a.Credential = &syscall.Credential{Uid: i.account.uid, Gid: i.account.gid}
	}
	return a
}

// up starts the server; the port is chosen on the first start and then kept.
func (i *Instance) up() error {
	for attempt := 1; ; attempt++ {
		if attempt > 1 || i.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			i.port = port
		}
		err := i.launch()
		if err == nil {
			return nil
		}
		if attempt == 5 || !strings.Contains(i.log(), "Address already in use") {
			return fmt.Errorf("start PostgreSQL: %w\n%s", err, i.log())
		}
	}
}

func (i *Instance) launch() error {
	args := []string{"-D", i.data(), "-p", strconv.Itoa(i.port)}
	for _, s := range i.settings {
		args = append(args, "-c", s)
	}
	log, err := os.Create(filepath.Join(i.dir, "log"))
	if err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	defer log.Close()                                                                           //nolint:errcheck // the server has its own copy
	cmd := exec.CommandContext(context.Background(), filepath.Join(i.bin, "postgres"), args...) // stop ends it
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = i.dir, log, log, i.attributes()
	p, err := run(cmd)
	if err != nil {
		return err
	}
	i.process = p
	if err := i.await(); err != nil {
		i.process = nil
		p.stop(syscall.SIGQUIT)
		return err
	}
	return nil
}

// await returns once the server takes connections or has ended.
func (i *Instance) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, i.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-i.process.done:
			return errors.New("the server ended at once")
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startTimeout, err)
		case <-tick.C:
		}
	}
}

func (i *Instance) running() bool { return i.process != nil }

func (i *Instance) log() string {
	text, err := fs.ReadFile(os.DirFS(i.dir), "log")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// close stops the server and removes all of it.
func (i *Instance) close() {
	if i.process != nil {
		i.process.stop(syscall.SIGQUIT)
		i.process = nil
	}
	if i.dir != "" {
		_ = os.RemoveAll(i.dir) // the next start sweeps what is left
	}
}

func freePort() (int, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close() //nolint:errcheck // never accepted anything
	address, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return int(address.Port()), nil
}
