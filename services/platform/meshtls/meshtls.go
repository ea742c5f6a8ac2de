// Package meshtls verifies servers that show a leaf of the mesh's certificate
// authority outside the mesh: the databases. Such a leaf has no DNS name and an
// empty subject, only its SPIFFE URI, so the usual host name check cannot be
// used; chain and service name are checked instead.
package meshtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// Client returns the TLS configuration of a client that talks to the named
// mesh service alone. caFile holds the PEM roots of the mesh's authority; it is
// read now, so call Client again for every connection to follow a rotation.
func Client(caFile, service string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the mesh authority: %w", err)
	}
	config, err := Trust(pem, service)
	if err != nil {
		return nil, fmt.Errorf("read the mesh authority: %s: %w", caFile, err)
	}
	return config, nil
}

// Trust is Client with the PEM roots themselves.
func Trust(pem []byte, service string) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in what should be the mesh authority's")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Not insecure: VerifyConnection below checks the chain and, in place of
		// the host name that these leaves do not have, the service's SPIFFE URI.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(state tls.ConnectionState) error {
			return verify(state.PeerCertificates, roots, service)
		},
	}, nil
}

// Leaf reads the certificate that a client shows, with its key, from one PEM file. Like Client, it is called again for
// every connection.
func Leaf(file string) ([]tls.Certificate, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the own certificate: %w", err)
	}
	leaf, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		return nil, fmt.Errorf("read the own certificate in %s: %w", file, err)
	}
	return []tls.Certificate{leaf}, nil
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, service string) error {
	if len(chain) == 0 {
		return errors.New("the server showed no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	options := x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if _, err := chain[0].Verify(options); err != nil {
		return fmt.Errorf("verify the server's certificate: %w", err)
	}
	return isService(chain[0].URIs, service)
}

// isService accepts exactly one SPIFFE URI, whose path ends in /svc/<service>.
func isService(uris []*url.URL, service string) error {
	if len(uris) != 1 || uris[0].Scheme != "spiffe" {
		return errors.New("the server's certificate has no SPIFFE identity")
	}
	if !strings.HasSuffix(uris[0].Path, "/svc/"+service) {
		return fmt.Errorf("the server is %s, not service %q", uris[0], service)
	}
	return nil
}
