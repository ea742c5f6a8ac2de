package provide

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// agentNames are those that agents are asked for: Nomad's and Consul's, servers' and clients' (vagrant/provision/55-access.sh).
var agentNames = []string{"localhost", "server.global.nomad", "client.global.nomad", "server.dc1.consul"}

// Bundle is what a machine needs in its folder of access before it is set up, as one of several. Each has the certificate of
// the CA, one of its own for its address, the keys of the gossip and the agents' tokens.
type Bundle struct {
	Address  string
	Operator bool // the operator's tokens, too: a server makes the agents' tokens known with them
	First    bool // the CA's key, too: certificates are made on this machine
}

// Write writes it as a tar, from a folder that has the keys of the shop.
func (b Bundle) Write(out io.Writer, dir string) error {
	ip := net.ParseIP(b.Address)
	if ip == nil || ip.To4() == nil || ip.IsLoopback() {
		return fmt.Errorf("%q is not an IPv4 address that others reach", b.Address)
	}
	secrets := map[string]string{}
	names := slices.Concat([]string{caFile, caKeyFile}, gossipKeys, agentTokens)
	if b.Operator || b.First {
		names = append(names, operatorTokens...)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s has no %s: run this where the keys of the shop were made, on its first machine or by the operator", dir, name)
		}
		if err != nil {
			return err
		}
		secrets[name] = string(text)
	}
	certificate, key, err := AgentCertificate(secrets[caFile], secrets[caKeyFile], ip, certified)
	if err != nil {
		return err
	}
	secrets["agent.pem"], secrets["agent-key.pem"] = certificate, key
	if !b.First {
		delete(secrets, caKeyFile)
	}
	// All of it or nothing: a part would be taken for the whole.
	var text bytes.Buffer
	archive := tar.NewWriter(&text)
	for name, secret := range secrets {
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(secret)), ModTime: time.Now()})
		if err == nil {
			_, err = io.WriteString(archive, secret)
		}
		if err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	_, err = out.Write(text.Bytes())
	return err
}
