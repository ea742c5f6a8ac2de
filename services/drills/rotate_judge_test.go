//go:build drill

package drills

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// secrets are all that a rotation changes.
type secrets struct {
	files   map[string]string            // in the folder of keys
	root    string                       // of the mesh, the active one
	gateway map[string]string            // the variable with the API's tokens
	logins  map[string]map[string]string // the variables with passwords: of services with a database, of the cache
}

func secretsNow(t *testing.T) (s secrets) {
	t.Helper()
	s.files, s.logins = map[string]string{}, map[string]map[string]string{}
	for _, name := range []string{"consul.gossip", "nomad.gossip", "ca.pem", "agent.pem", "operator.consul", "operator.nomad", "agent.consul", "agent.nomad"} {
		s.files[name] = strings.TrimSpace(kept(t, name))
	}
	roots, _, err := cluster.Consul(t).Agent().ConnectCARoots(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, root := range roots.Roots {
		if root.Active {
			s.root = root.RootCertPEM
		}
	}
	items := func(job string) map[string]string {
		v, _, err := cluster.Nomad(t).Variables().Read("nomad/jobs/"+job, nil)
		if err != nil {
			t.Fatal(err)
		}
		return maps.Clone(v.Items)
	}
	s.gateway = items("gateway")
	for _, service := range []string{"books", "orders", "payments", "coordinator", "redis"} {
		s.logins[service] = items(service)
	}
	return s
}

// requireRotated: nothing is as it was, what was is refused, what is works.
func requireRotated(t *testing.T, old, now secrets) {
	t.Helper()
	for name, was := range old.files {
		if now.files[name] == was {
			t.Errorf("%s is as it was", name)
		}
	}
	if entries, err := os.ReadDir(cluster.Access); err != nil {
		t.Error(err)
	} else {
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".next") {
				t.Errorf("%s is left over", entry.Name())
			}
		}
	}
	for job, items := range old.logins {
		for name, was := range items {
			if strings.HasSuffix(name, "_password") && now.logins[job][name] == was {
				t.Errorf("%s of %s is as it was", name, job)
			}
		}
	}
	requireKeyrings(t, now)
	requireAgentsTake(t, old, now)
	requireCA(t, old, now)
	requireRoot(t, old, now)
	requireLogins(t, old, now)
	requireTokens(t, old, now)
}

// requireKeyrings: the agents gossip with the new keys, and know no other.
func requireKeyrings(t *testing.T, now secrets) {
	t.Helper()
	pools, err := cluster.Consul(t).Operator().KeyringList(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, pool := range pools {
		if len(pool.Keys) != 1 || pool.PrimaryKeys[now.files["consul.gossip"]] != pool.NumNodes {
			t.Errorf("Consul's gossip has %d keys, and not that of the file alone", len(pool.Keys))
		}
	}
	pool, err := cluster.Nomad(t).Agent().ListKeys()
	if err != nil {
		t.Fatal(err)
	}
	if len(pool.Keys) != 1 || pool.Keys[now.files["nomad.gossip"]] != pool.NumNodes {
		t.Errorf("Nomad's gossip has %d keys, and not that of the file alone", len(pool.Keys))
	}
}

// requireAgentsTake: the agents refuse the old tokens, and take the new ones.
func requireAgentsTake(t *testing.T, old, now secrets) {
	t.Helper()
	const nomadJobs, consulSelf = "https://127.0.0.1:4646/v1/jobs", "https://127.0.0.1:8501/v1/acl/token/self"
	for file, url := range map[string]string{
		"operator.nomad": nomadJobs, "operator.consul": consulSelf, "agent.consul": consulSelf, "agent.nomad": consulSelf,
	} {
		for token, want := range map[string]int{old.files[file]: http.StatusForbidden, now.files[file]: http.StatusOK} {
			if status := asks(t, url, token); status != want {
				t.Errorf("%s: %s answers %d, want %d", file, url, status, want)
			}
		}
	}
}

func asks(t *testing.T, url, token string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Nomad-Token", token)
	req.Header.Set("X-Consul-Token", token)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} // requireCA verifies
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// requireCA: the agents' certificates are of the new CA, the old one is trusted by nobody any more.
func requireCA(t *testing.T, old, now secrets) {
	t.Helper()
	for _, api := range []string{"127.0.0.1:8501", "127.0.0.1:4646"} {
		if err := verified(t, api, now.files["ca.pem"], ""); err != nil {
			t.Errorf("%s by the new CA: %v", api, err)
		}
		if err := verified(t, api, old.files["ca.pem"], ""); err == nil {
			t.Errorf("%s has a certificate of the old CA", api)
		}
	}
	shared, _, err := cluster.Nomad(t).Variables().Read("nomad/jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(shared.Items["agent_ca"]) != now.files["ca.pem"] {
		t.Error("the jobs trust another CA than that of the file")
	}
}

// verified connects by TLS to who has a certificate of these roots: one with the address in it, or, where a service is
// named, one of the mesh.
func verified(t *testing.T, address, roots, service string) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(roots))
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if service != "" {
		config.InsecureSkipVerify = true // such certificates have no host name: the chain is verified below
		config.VerifyConnection = func(state tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, certificate := range state.PeerCertificates[1:] {
				between.AddCert(certificate)
			}
			leaf := state.PeerCertificates[0]
			_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between})
			if err == nil && (len(leaf.URIs) != 1 || !strings.HasSuffix(leaf.URIs[0].Path, "/svc/"+service)) {
				err = fmt.Errorf("it is %v", leaf.URIs)
			}
			return err
		}
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: config}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// requireRoot: everybody in the mesh shows a certificate that leads to the new root, for who does not know the old one.
// That one Consul itself keeps among the trusted for twice the life of a certificate.
func requireRoot(t *testing.T, old, now secrets) {
	t.Helper()
	if old.root == now.root {
		t.Error("the root of the mesh is as it was")
	}
	shoptest.Eventually(t, time.Minute, "certificates of the new root", func(ctx context.Context) error {
		var problems []error
		for _, name := range append([]string{"redis"}, cluster.Services...) {
			registered, service := name+"-sidecar-proxy", name
			if name == "redis" {
				registered = name
			}
			entries, err := cluster.Healthy(ctx, t, registered, "")
			if err != nil || len(entries) == 0 {
				return fmt.Errorf("no %s: %w", registered, err)
			}
			for _, e := range entries {
				if err := verified(t, cluster.HostPort(e), now.root, service); err != nil {
					problems = append(problems, fmt.Errorf("%s at %s: %w", registered, cluster.HostPort(e), err))
				}
			}
		}
		return errors.Join(problems...)
	})
}

// requireLogins: the database refuses the old passwords of the services and takes the new ones, and its members show
// certificates of the new root.
func requireLogins(t *testing.T, old, now secrets) {
	t.Helper()
	members, err := cluster.Members(t.Context(), t)
	if err != nil {
		t.Fatal(err)
	}
	a := newAccess(t, members)
	if err := os.WriteFile(a.config.CAFile, []byte(now.root), 0o600); err != nil {
		t.Fatal(err)
	}
	databases := map[string]string{"books": "bookdb", "orders": "orderdb", "payments": "paymentdb", "coordinator": "coordinatordb"}
	for service, database := range databases {
		for _, m := range members {
			for taken, items := range map[bool]map[string]string{false: old.logins[service], true: now.logins[service]} {
				login := items["db_user"] + ":" + items["db_password"] + "\n"
				if err := os.WriteFile(a.config.CredentialsFile, []byte(login), 0o600); err != nil {
					t.Fatal(err)
				}
				err := a.logsIn(t.Context(), m, database)
				refused, isRefusal := errors.AsType[*pgconn.PgError](err)
				if taken && err != nil || !taken && (!isRefusal || refused.Code != "28P01") {
					t.Errorf("%s at %s, taken %t: %v", service, m.Name, taken, err)
				}
			}
		}
	}
}

// logsIn connects to a database of one member, as a service does.
func (a *access) logsIn(ctx context.Context, m cluster.Member, database string) error {
	c, err := a.config.ConnConfig()
	if err != nil {
		return err
	}
	c.Host, c.Port, c.Database, c.Fallbacks, c.ValidateConnect = m.Host, uint16(m.Port), database, nil, nil
	conn, err := pgconn.ConnectConfig(ctx, &c.Config)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// requireTokens: the API refuses the old tokens and takes the new ones.
func requireTokens(t *testing.T, old, now secrets) {
	t.Helper()
	for _, name := range []string{"operator_token", "import_token", "test_token", "bench_token"} {
		for token, want := range map[string]int{old.gateway[name]: http.StatusUnauthorized, now.gateway[name]: http.StatusOK} {
			c := shoptest.NewClient(t, token)
			for range 4 { // more than there are gateways
				if a := c.Do(t, shoptest.Call{Method: "GET", Path: "/books?limit=1"}); a.Status != want {
					t.Errorf("%s: %v, want %d", name, a, want)
				}
			}
		}
	}
}
