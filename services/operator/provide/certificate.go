package provide

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// The files of the door's certificate among those of the machine's access.
const (
	doorFile    = "door.pem" // with the certificates that signed it
	doorKeyFile = "door-key.pem"
)

// WidenCertificate has the door's certificate have the address of each machine, where the shop's own CA has made it and the
// key of that is here. It tells whether it made another.
func WidenCertificate(ctx context.Context, c *cluster.Cluster, keys Keys) (bool, error) {
	addresses, err := c.Addresses(ctx)
	if err != nil || len(addresses) < 2 || keys.CAKey == "" {
		return false, err
	}
	text, err := machine.Secret(doorFile)
	if err != nil {
		return false, err
	}
	has, err := parse(text)
	if err != nil {
		return false, fmt.Errorf("read the door's certificate: %w", err)
	}
	if err := signed(keys.CA, has, x509.VerifyOptions{}); err != nil {
		return false, nil //nolint:nilerr // it is another CA's, who chose the names
	}
	lacks := slices.DeleteFunc(slices.Clone(addresses), func(ip net.IP) bool { return slices.ContainsFunc(has.IPAddresses, ip.Equal) })
	if len(lacks) == 0 {
		return false, nil
	}
	certificate, key, err := DoorCertificate(keys.CA, keys.CAKey, addresses, certified)
	if err != nil {
		return false, err
	}
	return true, ReplaceCertificate([]byte(certificate), []byte(key))
}

// directory is the item of the job acme's variable that says which ACME directory the ingress' certificate is from.
const directory = "directory"

// Certifier is the URL of the ACME directory that the ingress' certificate is from; empty where it is from none.
func Certifier(ctx context.Context, c *cluster.Cluster) (string, error) {
	items, err := c.Items(ctx, "acme")
	return items[directory], err
}

// LeaveCertifier has the ingress' certificate be no longer that of an ACME directory: Certificate replaces it then.
func LeaveCertifier(ctx context.Context, c *cluster.Cluster) error {
	_, err := c.Change(ctx, "acme", func(has nomad.VariableItems) { delete(has, directory) })
	return err
}

// Certificate gives the ingress the door's certificate that this machine has, unless it has one of an ACME directory, and
// tells whether that is another than before. The ingress takes it up while it serves.
func Certificate(ctx context.Context, c *cluster.Cluster) (bool, error) {
	if from, err := Certifier(ctx, c); err != nil || from != "" {
		return false, err
	}
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
	pair, err := tls.X509KeyPair(certificate, key)
	if err == nil {
		err = usable(pair, time.Now())
	}
	if err != nil {
		return fmt.Errorf("this certificate and this key: %w", err)
	}
	if err := machine.KeepSecret(filepath.Join(machine.Access, doorKeyFile), key); err != nil {
		return err
	}
	return machine.KeepSecret(filepath.Join(machine.Access, doorFile), certificate)
}
