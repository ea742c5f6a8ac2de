package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Access is where the agents' keys and the operator's tokens are, for root alone (vagrant/provision/55-access.sh).
const Access = State + "/access"

// CA is the certificate of the shop's CA, for everybody to read.
const CA = "/etc/bookstore/ca.pem"

// Operator are the settings that the commands nomad and consul read from their environment: addresses, the CA that the
// agents are verified by, the operator's tokens.
func Operator() (map[string]string, error) {
	file, err := os.Open(filepath.Join(Access, "operator.env"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("the shop is down: 'go tool task up' brings it up")
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("only root may read the operator's tokens in %s: run this as root (sudo), or set NOMAD_ADDR, NOMAD_TOKEN, CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN", Access)
	case err != nil:
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	settings := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			settings[key] = value
		}
	}
	return settings, lines.Err()
}

// Secret is what one of the files in Access keeps.
func Secret(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(Access, name))
	return strings.TrimSpace(string(text)), err
}

// KeepSecret writes a file of secrets: all of it or nothing, for its owner alone, and on the disk when it returns.
func KeepSecret(path string, text []byte) error {
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", path, err)
	}
	return nil
}
