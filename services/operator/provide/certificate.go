package provide

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// The files of the door's certificate among those of the machine's access.
const (
	doorFile    = "door.pem" // with the certificates that signed it
	doorKeyFile = "door-key.pem"
)

// Certificate gives the ingress the door's certificate that this machine has, and tells whether that is another than
// before. The ingress takes it up while it serves.
func Certificate(ctx context.Context, c *cluster.Cluster) (bool, error) {
	certificate, err := machine.Secret(doorFile)
	if err != nil {
		return false, fmt.Errorf("the door's certificate is made by 'go tool task up', or given by 'go tool shop certificate': %w", err)
	}
	key, err := machine.Secret(doorKeyFile)
	if err != nil {
		return false, fmt.Errorf("the key of the door's certificate: %w", err)
	}
	return c.Change(ctx, "ingress", func(has nomad.VariableItems) {
		has["certificate"], has["certificate_key"] = certificate, key
	})
}

// ReplaceCertificate keeps another certificate (PEM, followed by those that signed it) and key for the door.
func ReplaceCertificate(certificate, key []byte) error {
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("this certificate and this key: %w", err)
	}
	if err := machine.KeepSecret(filepath.Join(machine.Access, doorKeyFile), key); err != nil {
		return err
	}
	return machine.KeepSecret(filepath.Join(machine.Access, doorFile), certificate)
}
