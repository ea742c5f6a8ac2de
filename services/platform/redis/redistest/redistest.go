// Package redistest runs a real Redis for tests, from the machine's binary.
package redistest

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/platform/redis"
)

// Password is what the servers ask for.
const Password = "redistest"

// Cluster starts a Redis Cluster of one node that serves all slots, and
// returns its address. It is stopped when the test ends.
func Cluster(t testing.TB) string {
	t.Helper()
	s := newServer(t, nil)
	return s.serveAlone(t)
}

// ClusterTLS is Cluster as it runs in the mesh: TLS only, with a certificate
// that names the service in its SPIFFE URI. It returns the file of the
// authority too.
func ClusterTLS(t testing.TB, service string) (addr, caFile string) {
	t.Helper()
	files := Certificates(t, service)
	// The node is set up without the checks that the code under test is for.
	s := newServer(t, &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		"--tls-cluster", "yes", "--tls-auth-clients", "optional",
		"--tls-ca-cert-file", files.CA, "--tls-cert-file", files.Cert, "--tls-key-file", files.Key)
	return s.serveAlone(t), files.CA
}

// Config is how a client reaches the servers at these addresses.
func Config(t testing.TB, addrs ...string) redis.Config {
	t.Helper()
	dir := t.TempDir()
	c := redis.Config{MembersFile: filepath.Join(dir, "members"), PasswordFile: filepath.Join(dir, "password")}
	for path, content := range map[string]string{
		c.MembersFile: strings.Join(addrs, "\n") + "\n", c.PasswordFile: Password + "\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatalf("redistest: write a configuration: %v", err)
		}
	}
	return c
}
