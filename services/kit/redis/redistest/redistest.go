// Package redistest runs a real Redis for tests, from the machine's binary.
package redistest

import (
	"context"
	"crypto/tls"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Password is what the servers ask for.
const Password = "redistest"

// startTimeout bounds how long a server takes to answer.
const startTimeout = 10 * time.Second

// Cluster starts a Redis Cluster of one node that serves all slots, and
// returns its address. It is stopped when the test ends.
func Cluster(t testing.TB) string {
	t.Helper()
	return cluster(t, nil, func(port string) []string { return []string{"--port", port} })
}

// ClusterTLS is Cluster as it runs in the mesh: TLS only, with a certificate
// that names the service in its SPIFFE URI. It returns the file of the
// authority too.
func ClusterTLS(t testing.TB, service string) (addr, caFile string) {
	t.Helper()
	files := certificates(t, service)
	// The node is set up without the checks that the code under test is for.
	trust := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see above
	addr = cluster(t, trust, func(port string) []string {
		return []string{
			"--port", "0", "--tls-port", port, "--tls-cluster", "yes", "--tls-auth-clients", "optional",
			"--tls-ca-cert-file", files.ca, "--tls-cert-file", files.cert, "--tls-key-file", files.key,
		}
	})
	return addr, files.ca
}

func cluster(t testing.TB, trust *tls.Config, listen func(port string) []string) string {
	t.Helper()
	port, bus := freePort(t), freePort(t)
	addr := net.JoinHostPort("127.0.0.1", port)
	start(t, append(listen(port), "--bind", "127.0.0.1",
		"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-announce-ip", "127.0.0.1",
		"--requirepass", Password)...)
	node := goredis.NewClient(&goredis.Options{Addr: addr, Password: Password, TLSConfig: trust})
	defer func() { _ = node.Close() }()
	poll(t, "answer", func(ctx context.Context) bool { return node.Ping(ctx).Err() == nil })
	if err := node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatalf("redistest: give the node its slots: %v", err)
	}
	poll(t, "serve its slots", func(ctx context.Context) bool {
		info, err := node.ClusterInfo(ctx).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	})
	return addr
}

// start runs redis-server until the test ends.
func start(t testing.TB, args ...string) {
	t.Helper()
	dir := t.TempDir()
	args = append(args, "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no",
		"--logfile", filepath.Join(dir, "redis.log"))
	// The context of a test ends before its cleanups, which must find the server alive.
	server := exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", args...)
	if err := server.Start(); err != nil {
		t.Fatalf("redistest: start redis-server: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
}

func freePort(t testing.TB) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: find a port: %v", err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatalf("redistest: find a port: %v", err)
	}
	return port
}

// poll waits until done.
func poll(t testing.TB, what string, done func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("redistest: the server does not %s", what)
		case <-tick.C:
		}
	}
}
