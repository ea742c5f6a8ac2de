package meshtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/platform/meshtls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a certificate authority like the mesh's.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, nil, key, key)
	return authority{cert, key}
}

func sign(t *testing.T, template, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &subject.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// leaf signs a certificate with the given URIs and no name at all, as the mesh does.
func (a authority) leaf(t *testing.T, notAfter time.Time, uris ...string) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, text := range uris {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	cert := sign(t, template, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (a authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// handshake returns the client's verdict on a server with the given certificate.
func handshake(t *testing.T, client *tls.Config, cert tls.Certificate) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1)) // the verdict is the client's
		_ = conn.Close()
	}()
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err == nil {
		_ = conn.Close()
	}
	<-done
	_ = listener.Close()
	return err
}

func TestOnlyTheNamedServiceOfTheMeshIsTrusted(t *testing.T) {
	mesh, other := newAuthority(t), newAuthority(t)
	config, err := meshtls.Client(mesh.file(t), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	const postgres = "spiffe://11.consul/ns/default/dc/dc1/svc/postgres"
	later := time.Now().Add(time.Hour)
	cases := []struct {
		name string
		cert tls.Certificate
		ok   bool
	}{
		{"the service", mesh.leaf(t, later, postgres), true},
		{"another service of the mesh", mesh.leaf(t, later, "spiffe://11.consul/ns/default/dc/dc1/svc/redis"), false},
		{"a name that only ends alike", mesh.leaf(t, later, "spiffe://11.consul/ns/default/dc/dc1/svc/not-postgres"), false},
		{"no identity", mesh.leaf(t, later), false},
		{"two identities", mesh.leaf(t, later, postgres, postgres), false},
		{"another authority", other.leaf(t, later, postgres), false},
		{"expired", mesh.leaf(t, time.Now().Add(-time.Minute), postgres), false},
		{"a web address", mesh.leaf(t, later, "https://11.consul/svc/postgres"), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := handshake(t, config, c.cert); (err == nil) != c.ok {
				t.Errorf("got %v, want ok=%v", err, c.ok)
			}
		})
	}
}

func TestAMissingOrEmptyAuthorityIsAnError(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, filepath.Join(t.TempDir(), "absent.pem")} {
		if _, err := meshtls.Client(path, "postgres"); err == nil {
			t.Errorf("%s was accepted", path)
		}
	}
}
