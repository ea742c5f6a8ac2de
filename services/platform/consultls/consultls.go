// Package consultls has clients of Consul verify its agent by a file of CAs as it is now: while the shop's CA is rotated
// the file changes, and a client that has read it once would refuse the agent's next certificate.
package consultls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/hashicorp/consul/api"
)

// Follow has a client that is made with these settings read their CA file at every connection. Settings without one, or
// without TLS, stay as they are.
func Follow(settings *api.Config) error {
	address, err := url.Parse(settings.Address)
	if err != nil || address.Scheme != "https" || settings.TLSConfig.CAFile == "" {
		return nil //nolint:nilerr // host:port is no URL, and has no TLS
	}
	file, host := settings.TLSConfig.CAFile, address.Hostname()
	if _, err := read(file); err != nil {
		return err
	}
	settings.Transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         host,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies as else would be done, by the file of now
		VerifyConnection: func(state tls.ConnectionState) error {
			roots, err := read(file)
			if err != nil {
				return err
			}
			between := x509.NewCertPool()
			for _, certificate := range state.PeerCertificates[1:] {
				between.AddCert(certificate)
			}
			_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between})
			return err
		},
	}
	return nil
}

func read(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA of Consul's agents: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("read the CA of Consul's agents: " + file + " has no certificate")
	}
	return roots, nil
}
