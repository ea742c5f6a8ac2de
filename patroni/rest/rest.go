// Package rest calls Patroni's REST API, which answers members alone: with the certificate of the service postgres, and
// only to who shows one too.
package rest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/meshtls"
)

// Service is what the members' certificates are for.
const Service = "postgres"

// connectTimeout bounds a connection's making, the handshake included.
const connectTimeout = 3 * time.Second

// Certificates returns what to connect with at this moment.
type Certificates func(ctx context.Context) (*tls.Config, error)

// FromFiles reads the certificate and key in leaf, and the authority in ca: they change under a task that runs.
func FromFiles(leaf, ca string) Certificates {
	return func(context.Context) (*tls.Config, error) {
		config, err := meshtls.Client(ca, Service)
		if err == nil {
			config.Certificates, err = meshtls.Leaf(leaf)
		}
		return config, err
	}
}

// FromConsul has Consul's agent give a certificate, for who may ask for it: an operator.
func FromConsul(client *consul.Client) Certificates {
	return func(ctx context.Context) (*tls.Config, error) {
		asked := (&consul.QueryOptions{}).WithContext(ctx)
		leaf, _, err := client.Agent().ConnectCALeaf(Service, asked)
		if err != nil {
			return nil, fmt.Errorf("get a member's certificate: %w", err)
		}
		own, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
		if err != nil {
			return nil, fmt.Errorf("read the certificate that Consul made: %w", err)
		}
		roots, _, err := client.Agent().ConnectCARoots(asked)
		if err != nil {
			return nil, fmt.Errorf("get the mesh authority: %w", err)
		}
		var authority strings.Builder
		for _, root := range roots.Roots {
			authority.WriteString(root.RootCertPEM)
		}
		config, err := meshtls.Trust([]byte(authority.String()), Service)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
		return config, nil
	}
}

// Client makes a connection for each request, since a kept one would hide that a member takes no new ones. Requests end
// with their contexts.
func Client(certificates Certificates) *http.Client {
	dialer := dial.Dialer(connectTimeout)
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			config, err := certificates(ctx)
			if err != nil {
				return nil, err
			}
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secured := tls.Client(conn, config)
			within, cancel := context.WithTimeout(ctx, connectTimeout)
			defer cancel()
			if err := secured.HandshakeContext(within); err != nil {
				_ = conn.Close() // nothing was sent on it
				return nil, err
			}
			return secured, nil
		},
	}}
}
