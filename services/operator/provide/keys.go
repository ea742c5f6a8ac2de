package provide

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"

	"bookstore/services/operator/machine"
)

// The keys of a shop's agents and operator, each a file of its own (vagrant/provision/55-access.sh).
var (
	gossipKeys     = []string{"consul.gossip", "nomad.gossip"}
	agentTokens    = []string{"agent.consul", "agent.nomad"}
	operatorTokens = []string{"operator.consul", "operator.nomad"}
)

const (
	caFile    = "ca.pem"
	caKeyFile = "ca-key.pem"
	caFor     = 10 * 365 * 24 * time.Hour
)

// NewKeys makes what is missing of the keys of a shop of several machines, in a folder of the operator's. Runs at the same
// time wait for each other.
func NewKeys(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // nothing was written to it
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	for _, name := range gossipKeys {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // it never fails
		if err := once(dir, name, base64.StdEncoding.EncodeToString(key)); err != nil {
			return err
		}
	}
	for _, names := range [][]string{agentTokens, operatorTokens} {
		for _, name := range names {
			if err := once(dir, name, uuid.NewString()); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, caFile)); err == nil {
		return nil
	}
	ca, key, err := NewCA("bookstore", caFor)
	if err != nil {
		return err
	}
	if err := machine.KeepSecret(filepath.Join(dir, caKeyFile), []byte(key)); err != nil {
		return err
	}
	return machine.KeepSecret(filepath.Join(dir, caFile), []byte(ca))
}

// once keeps a secret unless there is one.
func once(dir, name, secret string) error {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return machine.KeepSecret(path, []byte(secret+"\n"))
}
