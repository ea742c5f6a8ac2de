package rotate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// beside are the names that have certificates of the mesh and no sidecar: the members of the database, the nodes of the
// cache (caLeaf in their jobs).
var beside = []string{"postgres", "redis"}

// reissued bounds how long Consul may take to issue all certificates anew: its agents spread that over half a minute.
const reissued = 3 * time.Minute

// mesh gives the mesh a new root. Consul's own way is that of all steps here: the old root signs the new one, so that who
// knows the old one alone takes the new certificates too; all are told both; agents issue every certificate anew. The old
// root is in no certificate then, and stays among those that are trusted for twice the life of a certificate, when
// Consul drops it. A run that is broken off leaves nothing half: Consul changes the root in one write.
func (s *Shop) mesh(ctx context.Context) error {
	if err := s.awaitLeaves(ctx); err != nil { // of a rotation before this one
		return err
	}
	connect := s.Cluster.Consul.Connect()
	is, _, err := connect.CAGetConfig(cluster.ConsulQuery(ctx))
	if err != nil {
		return fmt.Errorf("read the settings of the mesh's CA: %w", err)
	}
	if is.Provider != "consul" {
		return fmt.Errorf("the mesh's CA is that of %s, which has to rotate it itself", is.Provider)
	}
	key, err := rootKey()
	if err != nil {
		return err
	}
	is.Config["PrivateKey"], is.Config["RootCert"] = key, ""
	is.ForceWithoutCrossSigning = false
	if _, err := connect.CASetConfig(is, cluster.ConsulWrite(ctx)); err != nil {
		return fmt.Errorf("give the mesh a new root: %w", err)
	}
	s.Out.Sayf("the mesh has a new root, which the old one has signed")
	if err := s.awaitLeaves(ctx); err != nil {
		return err
	}
	s.Out.Sayf("every certificate is of the new root; Consul drops the old one after two lives of a certificate")
	return nil
}

// rootKey is a new key, of the kind that Consul makes by itself.
func rootKey() (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), err
}

// awaitLeaves waits until the certificate of every name is one of the active root.
func (s *Shop) awaitLeaves(ctx context.Context) error {
	wait := console.Wait{For: "new certificates for all of the mesh", Limit: reissued, Every: time.Second, Hint: "the agent's log says why it issues none"}
	return s.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		active, err := s.activeRoot(ctx)
		if err != nil {
			return "", err
		}
		names, err := s.certified(ctx)
		if err != nil {
			return "", err
		}
		old := []string{}
		for _, name := range names {
			leaf, _, err := s.Cluster.Consul.Agent().ConnectCALeaf(name, cluster.ConsulQuery(ctx))
			if err != nil {
				return "", fmt.Errorf("read the certificate of %s: %w", name, err)
			}
			if err := issuedBy(active, leaf.CertPEM); err != nil {
				old = append(old, name)
			}
		}
		if len(old) > 0 {
			return "certificates of the old root: " + strings.Join(old, ", "), nil
		}
		return "", nil
	})
}

func (s *Shop) activeRoot(ctx context.Context) (*x509.CertPool, error) {
	roots, _, err := s.Cluster.Consul.Agent().ConnectCARoots(cluster.ConsulQuery(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the mesh's roots: %w", err)
	}
	pool := x509.NewCertPool()
	for _, root := range roots.Roots {
		if root.Active && pool.AppendCertsFromPEM([]byte(root.RootCertPEM)) {
			return pool, nil
		}
	}
	return nil, errors.New("the mesh has no root: is Consul's agent still starting?")
}

// issuedBy says whether a certificate, by those in the same text, leads to a root.
func issuedBy(root *x509.CertPool, text string) error {
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: root, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

// certified are the names that have certificates of the mesh on this machine.
func (s *Shop) certified(ctx context.Context) ([]string, error) {
	services, err := s.Cluster.Consul.Agent().ServicesWithFilterOpts("", cluster.ConsulQuery(ctx))
	if err != nil {
		return nil, fmt.Errorf("list what runs on this machine: %w", err)
	}
	names := slices.Clone(beside)
	for _, service := range services {
		switch {
		case service.Kind == consul.ServiceKindConnectProxy && service.Proxy != nil:
			names = append(names, service.Proxy.DestinationServiceName)
		case service.Kind == consul.ServiceKindIngressGateway, service.Kind == consul.ServiceKindAPIGateway:
			names = append(names, service.Service)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
