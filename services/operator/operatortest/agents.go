// Package operatortest starts a Nomad server and a Consul of a test's own. The server has no client: jobs are placed
// nowhere, all else is as in the shop.
package operatortest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/platform/redis/redistest"
)

// Gossip is the key of the gossip of both.
const Gossip = "b3BlcmF0b3J0ZXN0b3BlcmF0b3J0ZXN0b3BlcmF0b3I="

// Start runs both until the test ends, without ACLs. Their logs are shown when the test failed.
func Start(t *testing.T) *cluster.Cluster {
	t.Helper()
	return start(t, "")
}

// StartLocked runs both with ACLs that deny by default. token is the operator's at Consul, and may become it at Nomad,
// which has no token yet.
func StartLocked(t *testing.T, token string) *cluster.Cluster {
	t.Helper()
	return start(t, token)
}

func start(t *testing.T, token string) *cluster.Cluster {
	t.Helper()
	p := ports(t, 6)
	config := filepath.Join(t.TempDir(), "nomad.hcl")
	text := fmt.Sprintf(`
		bind_addr = "127.0.0.1"
		data_dir  = %q
		advertise {
			http = "127.0.0.1"
			rpc  = "127.0.0.1"
			serf = "127.0.0.1"
		}
		ports {
			http = %d
			rpc  = %d
			serf = %d
		}
		server {
			enabled          = true
			bootstrap_expect = 1
			raft_multiplier  = 1
			encrypt          = %q
		}
		disable_update_check = true
		acl {
			enabled = %t
		}
		consul {
			address          = "127.0.0.1:%d"
			auto_advertise   = false
			server_auto_join = false
			client_auto_join = false
		}`, t.TempDir(), p[0], p[1], p[2], Gossip, token != "", p[3])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "nomad", "agent", "-log-level=warn", "-config="+config)
	acl := fmt.Sprintf(`acl {
			enabled        = %t
			default_policy = "deny"
			tokens {
				initial_management = %q
			}
		}`, token != "", token)
	run(t, "consul", "agent", "-dev", "-hcl="+acl, "-encrypt="+Gossip, "-log-level=warn", "-bind=127.0.0.1", "-client=127.0.0.1",
		fmt.Sprintf("-http-port=%d", p[3]), fmt.Sprintf("-server-port=%d", p[4]), fmt.Sprintf("-serf-lan-port=%d", p[5]),
		"-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1", "-grpc-tls-port=-1")

	c := &cluster.Cluster{}
	var err error
	if c.Nomad, err = nomad.NewClient(&nomad.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", p[0]), SecretID: token}); err != nil {
		t.Fatal(err)
	}
	if c.Consul, err = consul.NewClient(&consul.Config{Address: fmt.Sprintf("127.0.0.1:%d", p[3]), Token: token}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for !serving(t.Context(), c, token != "") {
		if time.Since(begin) > time.Minute {
			t.Fatal("Nomad and Consul did not come up in a minute")
		}
		time.Sleep(50 * time.Millisecond)
	}
	return c
}

// serving tells whether both have a leader, and Nomad the key that it keeps variables with; or, where it has no token
// yet, so much as can be known without.
func serving(ctx context.Context, c *cluster.Cluster, locked bool) bool {
	leader, err := c.Consul.Status().LeaderWithQueryOptions(cluster.ConsulQuery(ctx))
	if err != nil || leader == "" {
		return false
	}
	if locked {
		_, _, own := c.Consul.ACL().TokenReadSelf(cluster.ConsulQuery(ctx))
		leader, err := c.Nomad.Status().Leader()
		return own == nil && err == nil && leader != ""
	}
	v := nomad.NewVariable("operatortest")
	v.Items["is"] = "there"
	_, _, err = c.Nomad.Variables().Update(v, cluster.Write(ctx))
	return err == nil
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := machine.Tool(name)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", name, text)
		}
		_ = log.Close()
	})
}

// ports are so many that nobody listens on and that no other test is given meanwhile.
func ports(t *testing.T, n int) []int {
	t.Helper()
	free := make([]int, n)
	for i := range free {
		at, err := netip.ParseAddrPort(redistest.FreeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		free[i] = int(at.Port())
	}
	return free
}
