//go:build e2e

package members

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bookstore/services/platform/wait/waittest"
)

// image is the member's; another one can be tried by PATRONI_IMAGE.
var image = cmp.Or(os.Getenv("PATRONI_IMAGE"), "bookstore/patroni:0.1.0")

const (
	consul   = "/opt/bookstore/bin/consul"
	commands = time.Minute // for a command in a container, a busy machine takes its time
)

// members are some members, by their numbers, and the Consul in whose network they are.
type members struct {
	name  string // what the names of all containers begin with
	count int
}

// start runs Consul and so many members, which have elected nobody yet.
func start(t *testing.T, count int) members {
	t.Helper()
	m := members{name: fmt.Sprintf("bookstore-members-%d", os.Getpid()), count: count}
	secrets := m.name + "-secrets"
	t.Cleanup(func() {
		for n := range count {
			_, _ = m.try("docker", "rm", "--force", "--volumes", m.of(n))
		}
		_, _ = m.try("docker", "rm", "--force", "--volumes", m.name)
		_, _ = m.try("docker", "volume", "rm", "--force", secrets)
	})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "consul.hcl"), `
ports { https = 8501 }
tls { https { cert_file = "/secrets/agent.pem" key_file = "/secrets/agent-key.pem" } }
`)
	write(t, filepath.Join(dir, "pgbackrest.conf"), "[global]\nrepo1-path=/tmp/repo\n[shop]\npg1-path=/data/pgdata\n")
	write(t, filepath.Join(dir, "passwords.yml"),
		"{restapi: {authentication: {password: a}}, postgresql: {authentication: {replication: {password: b}, rewind: {password: c}}}}\n")
	m.run(t, "docker", "volume", "create", secrets)
	m.run(t, "docker", "run", "--rm", "--user", "root", "--network", "none", "--volume", secrets+":/secrets", "--volume", dir+":/in:ro",
		"--volume", absolute(t, "../patroni.yml")+":/patroni.yml:ro", "--volume", consul+":/consul:ro", "--entrypoint", "bash", image, "-ec", `
cd /secrets
mkdir patroni tls
cp /in/consul.hcl /in/pgbackrest.conf .
cp /patroni.yml /in/passwords.yml patroni
/consul tls ca create && /consul tls cert create -server
mv consul-agent-ca.pem agents-ca.pem
mv dc1-server-consul-0.pem agent.pem
mv dc1-server-consul-0-key.pem agent-key.pem
chown -R postgres: .`)
	m.run(t, "docker", "run", "--detach", "--name", m.name, "--network", "none", "--volume", secrets+":/secrets", "--volume", consul+":/consul:ro",
		"--entrypoint", "/consul", image, "agent", "-dev", "-bind=127.0.0.1", "-log-level=warn", "-config-file=/secrets/consul.hcl")
	// The mesh's authority and a certificate of it for the service postgres, as the job's templates render them.
	waittest.EventuallyNil(t, "Consul's mesh has an authority", func(context.Context) error {
		_, err := m.try("docker", "exec", m.name, "bash", "-ec", `python3 - <<END
import json, os, urllib.request
def ask(path): return json.load(urllib.request.urlopen("http://127.0.0.1:8500/v1/agent/connect/ca/" + path, timeout=5))
def put(file, text):
    with os.fdopen(os.open("/secrets/tls/" + file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened: opened.write(text)
put("ca.pem", "".join(root["RootCert"] for root in ask("roots")["Roots"]))
leaf = ask("leaf/postgres")
put("leaf.pem", leaf["CertPEM"] + leaf["PrivateKeyPEM"])
END`)
		return err
	})
	for n := range count {
		pg, rest := fmt.Sprintf("127.0.0.1:%d", 7000+n), fmt.Sprintf("127.0.0.1:%d", 8000+n)
		m.run(t, "docker", "create", "--name", m.of(n), "--network", "container:"+m.name, "--volume", secrets+":/secrets:ro", "--tmpfs", "/tmp",
			"--env", "CONSUL_HTTP_ADDR=https://127.0.0.1:8501", "--env", "CONSUL_CACERT=/secrets/agents-ca.pem", "--env", "CONSUL_HTTP_TOKEN=",
			"--env", "PATRONI_SCOPE=patroni", "--env", fmt.Sprintf("PATRONI_NAME=patroni-%d", n),
			"--env", "PATRONI_POSTGRESQL_LISTEN="+pg, "--env", "PATRONI_POSTGRESQL_CONNECT_ADDRESS="+pg,
			"--env", "PATRONI_RESTAPI_LISTEN="+rest, "--env", "PATRONI_RESTAPI_CONNECT_ADDRESS="+rest, "--env", "NOMAD_ADDR_status=127.0.0.1:1",
			"--env", "PGHOST=/var/run/postgresql", "--env", "PGPORT="+pg[len("127.0.0.1:"):], "--env", "PGBACKREST_CONFIG=/secrets/pgbackrest.conf", image)
		m.start(t, n)
	}
	return m
}

// of is the name of a member's container.
func (m members) of(n int) string { return fmt.Sprintf("%s-%d", m.name, n) }

func (m members) start(t *testing.T, n int) {
	t.Helper()
	m.run(t, "docker", "start", m.of(n))
}

// stop has members stop as Nomad does, one after the other.
func (m members) stop(t *testing.T, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		m.run(t, "docker", "stop", "--time", "30", m.of(n))
	}
}

// in runs a script in a member's container.
func (m members) in(t *testing.T, n int, script string) string {
	t.Helper()
	return m.run(t, "docker", "exec", m.of(n), "bash", "-ec", script)
}

func (m members) sql(t *testing.T, n int, statement string) string {
	t.Helper()
	return strings.TrimSpace(m.run(t, "docker", "exec", m.of(n), "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-c", statement))
}

// member is one as patronictl lists it.
type member struct {
	Member, Role, State string
	Timeline            int `json:"TL"`
}

// await waits until of the members that run, asked at one of them, one leads and all others stream from it on its timeline.
func (m members) await(t *testing.T, ask, running int) (leader int, standbys []int, timeline int) {
	t.Helper()
	waittest.EventuallyNil(t, fmt.Sprintf("a leader and %d that stream", running-1), func(context.Context) error {
		out, err := m.try("docker", "exec", m.of(ask), "patronictl", "list", "--format", "json")
		if err != nil {
			return err
		}
		var all []member
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		leader, standbys, timeline = -1, nil, 0
		for _, one := range all {
			var n int
			if _, err := fmt.Sscanf(one.Member, "patroni-%d", &n); err != nil {
				return err
			}
			switch {
			case one.Role == "Leader" && one.State == "running":
				leader, timeline = n, one.Timeline
			case one.State == "streaming":
				standbys = append(standbys, n)
			}
		}
		for _, one := range all {
			if one.State == "streaming" && one.Timeline != timeline {
				leader = -1
			}
		}
		if leader < 0 || len(standbys) != running-1 {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	return leader, standbys, timeline
}

func (m members) run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := m.try(command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (members) try(command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commands)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s%s", strings.Join(command, " "), err, out, stderr.String())
	}
	return string(out), nil
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
