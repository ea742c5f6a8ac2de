package rotate

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/firstorder"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/provide"
	"bookstore/services/platform/dial"
	"bookstore/services/platform/wait"
)

// Here is this machine, as the scripts in vagrant/provision have set it up.
type Here struct{ Out io.Writer } // what the scripts say

// scripts write the settings of the agents.
var scripts = map[string]string{"consul": "60-consul.sh", "nomad": "70-nomad.sh"}

// Start is one of Machine.
func (h Here) Start(ctx context.Context) error {
	for _, run := range [][]string{
		{"55-access.sh"}, {"60-consul.sh", "--settings"}, {"70-nomad.sh", "--settings"}, {"60-consul.sh"}, {"70-nomad.sh"},
	} {
		if err := machine.Script(ctx, h.Out, run[0], run[1:]...); err != nil {
			return err
		}
	}
	return h.await(ctx)
}

// Settle is one of Machine.
func (h Here) Settle(ctx context.Context, agent string) error {
	return machine.Script(ctx, h.Out, scripts[agent], "--settings")
}

// Restart is one of Machine.
func (h Here) Restart(ctx context.Context) error {
	if err := machine.Script(ctx, h.Out, scripts["nomad"], "--anew"); err != nil {
		return err
	}
	return h.await(ctx)
}

// await waits until Nomad has a node that works with Consul.
func (h Here) await(ctx context.Context) error {
	c, err := h.Open()
	if err != nil {
		return err
	}
	return provide.Nodes(ctx, c, console.Console{Out: h.Out}, 1, 2*time.Minute)
}

// Operator is one of Machine.
func (h Here) Operator(ctx context.Context) error { return machine.Script(ctx, h.Out, "55-access.sh") }

// Open is one of Machine.
func (Here) Open() (*cluster.Cluster, error) { return cluster.Open() }

// Reload is one of Machine.
func (Here) Reload() error {
	return errors.Join(machine.Signal("consul", syscall.SIGHUP), machine.Signal("nomad", syscall.SIGHUP))
}

// shown is how long an agent may take to show a certificate that it was told to read.
const shown = 30 * time.Second

// Certify is one of Machine.
func (h Here) Certify(ctx context.Context) error {
	if err := machine.Script(ctx, h.Out, "55-access.sh", "--certificate"); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(machine.Access, "agent.pem"))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("agent.pem has no certificate")
	}
	ctx, cancel := context.WithTimeout(ctx, shown)
	defer cancel()
	for _, agent := range []string{"127.0.0.1:8501", "127.0.0.1:4646"} {
		for !shows(ctx, agent, block.Bytes) {
			if !wait.For(ctx, time.Second/2) {
				return fmt.Errorf("the agent at %s still shows its old certificate: see its log in %s", agent, machine.Logs)
			}
		}
	}
	return nil
}

// shows tells whether a server shows a certificate. Whether that is to be trusted is not asked here.
func shows(ctx context.Context, address string, certificate []byte) bool {
	seen := false
	dialer := tls.Dialer{NetDialer: dial.Dialer(5 * time.Second), Config: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // only this one certificate is looked for
		VerifyConnection: func(state tls.ConnectionState) error {
			seen = len(state.PeerCertificates) > 0 && bytes.Equal(state.PeerCertificates[0].Raw, certificate)
			return nil
		},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return seen
}

// each is how many requests in a row reach every gateway, which take turns.
const each = 12

// Accepts is one of Machine.
func (Here) Accepts(ctx context.Context, c *cluster.Cluster, token string) (all, some bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	door, err := firstorder.FindDoor(ctx, c)
	if err != nil {
		return false, false, err
	}
	all = true
	for range each {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, door.URL+"/books?limit=1", http.NoBody)
		if err != nil {
			return false, false, err
		}
		req.Close = true // so that each may reach another gateway
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := door.Client.Do(req)
		if err != nil {
			return false, false, err
		}
		_ = res.Body.Close() // only the status counts
		taken := res.StatusCode != http.StatusUnauthorized
		all, some = all && taken, some || taken
	}
	return all, some, nil
}

// NewCA is one of Machine: Nomad's own command makes it.
func (Here) NewCA(ctx context.Context) (certificate, key string, err error) {
	program, err := machine.Tool("nomad")
	if err != nil {
		return "", "", err
	}
	dir, err := os.MkdirTemp("", "ca") // for this user alone
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.CommandContext(ctx, program, "tls", "ca", "create", "-days", "3650")
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("make a CA: %w: %s", err, said)
	}
	files := make([][]byte, 2)
	for i, name := range []string{"nomad-agent-ca.pem", "nomad-agent-ca-key.pem"} {
		if files[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return "", "", err
		}
	}
	return string(files[0]), string(files[1]), nil
}
