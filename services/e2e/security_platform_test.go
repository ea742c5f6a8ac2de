//go:build e2e

package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"

	"bookstore/services/shoptest/cluster"
)

// agent sends an agent's API a request as a stranger would.
func agent(t *testing.T, method, url, body string, headers map[string]string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	if host := headers["Host"]; host != "" {
		req.Host = host
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}} // an attacker does not mind
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(text))
}

// Whoever reaches the agents without a token, be it a program of another user or a web page in a browser on this
// machine, neither reads nor changes anything.
func TestAttackAgentsWithoutToken(t *testing.T) {
	const nomadAPI, consulAPI = "https://127.0.0.1:4646", "https://127.0.0.1:8501"
	const job = `{"Job":{"ID":"stranger","Name":"stranger","Type":"batch","Datacenters":["dc1"],"TaskGroups":[{"Name":"stranger","Tasks":[{"Name":"stranger","Driver":"docker","Config":{"image":"bookstore/redis:1"}}]}]}}`
	page := map[string]string{"Content-Type": "text/plain", "Origin": "http://evil.example", "Host": "evil.example"}
	for name, attack := range map[string]struct {
		method, url, body string
		headers           map[string]string
	}{
		"read the superuser's password":    {http.MethodGet, nomadAPI + "/v1/var/nomad%2Fjobs%2Fpatroni", "", nil},
		"list the jobs":                    {http.MethodGet, nomadAPI + "/v1/jobs", "", nil},
		"submit a job":                     {http.MethodPut, nomadAPI + "/v1/jobs", job, nil},
		"submit a job from a web page":     {http.MethodPost, nomadAPI + "/v1/jobs", job, page},
		"read Nomad's settings":            {http.MethodGet, nomadAPI + "/v1/agent/self", "", nil},
		"write Patroni's settings":         {http.MethodPut, consulAPI + "/v1/kv/service/patroni/config", `{}`, nil},
		"read Patroni's leader":            {http.MethodGet, consulAPI + "/v1/kv/service/patroni/leader", "", nil},
		"end the leader's session":         {http.MethodPut, consulAPI + "/v1/session/destroy/" + leaderSession(t), "", nil},
		"get a certificate":                {http.MethodGet, consulAPI + "/v1/agent/connect/ca/leaf/stranger", "", nil},
		"register a service":               {http.MethodPut, consulAPI + "/v1/agent/service/register", `{"Name":"books","Port":1}`, nil},
		"open the mesh":                    {http.MethodPut, consulAPI + "/v1/config", `{"Kind":"service-intentions","Name":"books","Sources":[{"Name":"*","Action":"allow"}]}`, nil},
		"open the mesh from a web page":    {http.MethodPut, consulAPI + "/v1/config", `{"Kind":"service-intentions","Name":"books","Sources":[{"Name":"*","Action":"allow"}]}`, page},
		"become Consul's first operator":   {http.MethodPut, consulAPI + "/v1/acl/bootstrap", "", nil},
		"take a snapshot of all of Consul": {http.MethodGet, consulAPI + "/v1/snapshot", "", nil},
	} {
		if status, answer := agent(t, attack.method, attack.url, attack.body, attack.headers); status != http.StatusForbidden {
			t.Errorf("a stranger may %s: %d %.200s", name, status, answer)
		}
	}
	if status, answer := agent(t, http.MethodPost, nomadAPI+"/v1/acl/bootstrap", "", nil); status == http.StatusOK {
		t.Errorf("a stranger may become Nomad's first operator: %s", answer)
	}
	// Lists are filtered, not refused.
	for _, url := range []string{
		nomadAPI + "/v1/vars", consulAPI + "/v1/catalog/services", consulAPI + "/v1/catalog/nodes", consulAPI + "/v1/agent/services",
		consulAPI + "/v1/health/state/any", consulAPI + "/v1/session/list",
	} {
		if _, answer := agent(t, http.MethodGet, url, "", nil); answer != "[]" && answer != "{}" {
			t.Errorf("a stranger sees %s: %.200s", url, answer)
		}
	}
	requireRefused(t, "127.0.0.1:8500")
	requireNoOtherPage(t, "http://127.0.0.1:9090/api/v1/labels")
	if status, _ := agent(t, http.MethodGet, "http://127.0.0.1:4646/v1/jobs", "", nil); status != http.StatusBadRequest {
		t.Errorf("Nomad answers plain HTTP: %d", status)
	}
}

// requireNoOtherPage: what a page of another origin asks for, its browser does not show it.
func requireNoOtherPage(t *testing.T, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "http://evil.example")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // the headers say it
	if allowed := res.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
		t.Errorf("%s may be read by pages of %s", url, allowed)
	}
}

// The agents' own protocols want a certificate of the shop's CA: with none, or with the one that the mesh gave to the
// gateway, nobody gets in, and in clear neither.
func TestAttackAgentsWithAnotherCertificate(t *testing.T) {
	self, err := cluster.Consul(t).Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	address, _ := self["Member"]["Addr"].(string)
	const inClear, tlsFollows = 0, 1
	for name, rpc := range map[string]struct {
		port string
		says [2]byte // what a connection begins with
	}{
		"Nomad's RPC":  {"4647", [2]byte{inClear: 0x01, tlsFollows: 0x04}},
		"Consul's RPC": {"8300", [2]byte{inClear: 0x00, tlsFollows: 0x03}},
	} {
		at := net.JoinHostPort(address, rpc.port)
		for who, own := range map[string][]tls.Certificate{"nobody": nil, "the gateway": {certificate(t, "gateway")}} {
			conn := begin(t, at, rpc.says[tlsFollows])
			secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, Certificates: own}) // an attacker does not mind
			err := secured.HandshakeContext(t.Context())
			if err == nil {
				_, err = secured.Read(make([]byte, 1)) // by TLS 1.3 the server's refusal comes now
			}
			_ = conn.Close()
			if alert := (tls.AlertError)(0); err == nil || !strings.Contains(err.Error(), "remote error: tls") && !errors.As(err, &alert) {
				t.Errorf("%s takes %s: %v", name, who, err)
			}
		}
		conn := begin(t, at, rpc.says[inClear])
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s in clear: %v, want the connection closed", name, err)
		}
		_ = conn.Close()
	}
}

// leaderSession is the session that holds the key of PostgreSQL's leader.
func leaderSession(t *testing.T) string {
	t.Helper()
	pair, _, err := cluster.Consul(t).KV().Get("service/patroni/leader", nil)
	if err != nil || pair == nil || pair.Session == "" {
		t.Fatalf("the leader's key: %v, %v", pair, err)
	}
	return pair.Session
}

// begin connects and says what follows.
func begin(t *testing.T, address string, first byte) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(5 * time.Second))
	}
	if err == nil {
		_, err = conn.Write([]byte{first})
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A task may do at Consul what it needs, and nothing else, even with its own token.
func TestAttackWithATasksToken(t *testing.T) {
	for task, may := range map[string]struct {
		job  string
		sees []string
	}{
		"books":   {"books", []string{"patroni", "redis"}},
		"gateway": {"gateway", []string{"redis"}},
		"redis":   {"redis", []string{"redis"}},
	} {
		token := tokenOf(t, task, cluster.Running(t, may.job)[0].ID)
		asked := &consul.QueryOptions{Token: token}
		services, _, err := cluster.Consul(t).Catalog().Services(asked)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range may.sees {
			if _, ok := services[name]; !ok {
				t.Errorf("%s does not see %s", task, name)
			}
		}
		if len(services) != len(may.sees) {
			t.Errorf("%s sees %v, it needs %v", task, services, may.sees)
		}
		told := &consul.WriteOptions{Token: token}
		if _, err := cluster.Consul(t).KV().Put(&consul.KVPair{Key: "service/patroni/config", Value: []byte("{}")}, told); err == nil {
			t.Errorf("%s writes Patroni's settings", task)
		}
		if _, _, err := cluster.Consul(t).ConfigEntries().Set(&consul.ServiceConfigEntry{Kind: consul.ServiceDefaults, Name: "books"}, told); err == nil {
			t.Errorf("%s changes the mesh", task)
		}
		if leaf, _, err := cluster.Consul(t).Agent().ConnectCALeaf("stranger", asked); err == nil {
			t.Errorf("%s has a certificate of %s", task, leaf.Service)
		}
	}
}

// Another user of this machine reads neither keys nor data nor logs of the shop, and does not reach Consul: its agent
// gives a certificate that it has made before, with the key, to whoever asks.
func TestAttackAsAnotherUser(t *testing.T) {
	const couldNotConnect = "exit status 7"
	for uid, url := range map[string]string{
		"65534": "https://127.0.0.1:8501/v1/agent/connect/ca/leaf/gateway",
		"10003": "https://127.0.0.1:8501/v1/agent/connect/ca/leaf/gateway",
		"10001": "http://127.0.0.1:8502/",
	} {
		_, err := cluster.Command("setpriv", "--reuid="+uid, "--regid="+uid, "--clear-groups", "curl", "--silent", "--insecure", "--max-time", "5", url)
		if err == nil || !strings.Contains(err.Error(), couldNotConnect) {
			t.Errorf("the user %s reaches %s: %v", uid, url, err)
		}
	}
	for _, path := range []string{
		cluster.Access + "/operator.env", cluster.Access + "/ca-key.pem", cluster.State + "/consul/access.hcl", cluster.State + "/nomad/access.hcl",
		cluster.State + "/consul", cluster.State + "/volumes", cluster.State + "/nomad/alloc", cluster.Logs,
	} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("there is no %s: %v", path, err)
		}
		for _, command := range [][]string{{"ls", path}, {"head", "-c1", path}} {
			asNobody := append([]string{"--reuid=65534", "--regid=65534", "--clear-groups"}, command...)
			if out, err := cluster.Command("setpriv", asNobody...); err == nil {
				t.Errorf("nobody reads %s: %s", path, out)
			}
		}
	}
}

// tokenOf is the token of Consul's that Nomad gave to a task.
func tokenOf(t *testing.T, task, allocation string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("%s/nomad/alloc/%s/%s/secrets/consul_token", cluster.State, allocation, task))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
