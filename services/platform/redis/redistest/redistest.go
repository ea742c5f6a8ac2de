// Package redistest runs a real Redis for tests, from the machine's binary.
package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"bookstore/services/platform/redis"
	"bookstore/services/platform/wait/waittest"
)

// Password is the servers' password, and Credentials are those of the one user that they have.
const (
	Password    = "redistest"
	Credentials = "default:" + Password
)

// Cluster starts a Redis Cluster of one node that serves all slots, and
// returns its address. It is stopped when the test ends.
func Cluster(t testing.TB) string {
	t.Helper()
	s := newServer(t, nil)
	return s.serveAlone(t)
}

// ClusterTLS is Cluster as it runs in the mesh: TLS only, with a certificate
// that names the service in its SPIFFE URI, and for clients that have one. It
// returns the files too.
func ClusterTLS(t testing.TB, service string) (addr string, files PEM) {
	t.Helper()
	files = Certificates(t, service)
	own, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatalf("redistest: read a certificate: %v", err)
	}
	// The node is set up without the checks that the code under test is for.
	s := newServer(t, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{own}}, //nolint:gosec // see above
		"--tls-cluster", "yes", "--tls-auth-clients", "yes",
		"--tls-ca-cert-file", files.CA, "--tls-cert-file", files.Cert, "--tls-key-file", files.Key)
	return s.serveAlone(t), files
}

// Config is how a client reaches the servers at these addresses.
func Config(t testing.TB, addrs ...string) redis.Config {
	t.Helper()
	dir := t.TempDir()
	c := redis.Config{MembersFile: filepath.Join(dir, "members"), CredentialsFile: filepath.Join(dir, "credentials")}
	for path, content := range map[string]string{
		c.MembersFile: strings.Join(addrs, "\n") + "\n", c.CredentialsFile: Credentials + "\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatalf("redistest: write a configuration: %v", err)
		}
	}
	return c
}

// callTimeout bounds one call to a server, which may be frozen.
const callTimeout = time.Second

// server is one redis-server, dead or alive. Its ports, its folder and so its
// place in the cluster outlive its death.
type server struct {
	port, bus string
	args      []string
	log       string
	client    *goredis.Client

	mu      sync.Mutex
	process *exec.Cmd // nil while it is dead
}

// newServer starts a server that belongs to no cluster yet.
func newServer(t testing.TB, trust *tls.Config, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{port: freePort(t), bus: freePort(t), log: filepath.Join(dir, "redis.log")}
	listen := []string{"--port", s.port}
	if trust != nil {
		listen = []string{"--port", "0", "--tls-port", s.port}
	}
	s.args = slices.Concat(listen, []string{
		"--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-port", s.bus, "--cluster-announce-ip", "127.0.0.1",
		"--requirepass", Password, "--masterauth", Password,
		"--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", s.log,
	}, args)
	s.client = goredis.NewClient(&goredis.Options{
		Addr: s.addr(), Password: Password, TLSConfig: trust, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: callTimeout, ReadTimeout: callTimeout, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() {
		_ = s.client.Close()
		s.kill()
	})
	s.start(t)
	return s
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", s.port) }

// start returns once the server answers.
func (s *server) start(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	if s.process == nil {
		// The context of a test ends before its cleanups, which must find the server alive.
		process := exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", s.args...)
		// A test that panics cleans nothing up: the server ends with it all the same.
		process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := process.Start(); err != nil {
			s.mu.Unlock()
			t.Fatalf("redistest: start redis-server: %v", err)
		}
		s.process = process
	}
	s.mu.Unlock()
	waittest.EventuallyNil(t, "start a server", func(ctx context.Context) error {
		err := s.client.Ping(ctx).Err()
		if err != nil {
			log, _ := os.ReadFile(s.log)
			err = errors.Join(err, errors.New(string(log)))
		}
		return err
	})
}

// kill ends the server as a crash does.
func (s *server) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

func (s *server) signal(which syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = s.process.Process.Signal(which)
	}
}

func (s *server) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil
}

// do sends a command that must succeed in the end.
func (s *server) do(t testing.TB, args ...any) {
	t.Helper()
	waittest.EventuallyNil(t, strings.TrimSpace(goredis.NewCmd(t.Context(), args...).String()), func(ctx context.Context) error {
		return s.client.Do(ctx, args...).Err()
	})
}

// serveAlone gives the server all slots.
func (s *server) serveAlone(t testing.TB) (addr string) {
	t.Helper()
	s.do(t, "cluster", "addslotsrange", 0, lastSlot)
	waittest.EventuallyNil(t, "serve all slots", func(ctx context.Context) error {
		info, err := s.client.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(info, "cluster_state:ok") {
			err = errors.New(info)
		}
		return err
	})
	return s.addr()
}

// Ports come from below those that the kernel gives to connections, or one of
// these would have a killed server's when it starts again.
const firstPort, lastPort = 10_240, 19_999

// FreeAddr is an address on this machine where nobody listens, and which is
// nobody else's until the test ends: a server that was killed finds it free.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		// A name without a file, which goes with the process at the latest.
		claim, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", "@redistest "+addr)
		if err != nil {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		if err != nil {
			_ = claim.Close()
			continue
		}
		_ = listener.Close()
		t.Cleanup(func() { _ = claim.Close() })
		return addr
	}
	t.Fatal("redistest: no port is free")
	return ""
}

func freePort(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(FreeAddr(t))
	if err != nil {
		t.Fatalf("redistest: find a port: %v", err)
	}
	return port
}

// LateDials excuses those of a client that is closed: go-redis checks once a second, in the
// background, whether it still needs the node that it could not reach.
func LateDials() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}
