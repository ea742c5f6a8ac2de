package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// PEM is where a server finds its authority, certificate and key.
type PEM struct{ CA, Cert, Key string }

// Certificates makes an authority and a leaf of it as the mesh does: no name,
// only the SPIFFE URI of the service.
func Certificates(t testing.TB, service string) PEM {
	t.Helper()
	authority, authorityKey := &x509.Certificate{
		Subject:      pkix.Name{CommonName: "redistest"}, // without a name it were one with its leaf to OpenSSL
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, newKey(t)
	leaf, leafKey := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "test.consul", Path: "/ns/default/dc/dc1/svc/" + service}},
	}, newKey(t)
	key, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatalf("redistest: encode a key: %v", err)
	}
	dir := t.TempDir()
	return PEM{
		CA:   write(t, dir, "ca.pem", "CERTIFICATE", sign(t, authority, authority, authorityKey, authorityKey)),
		Cert: write(t, dir, "cert.pem", "CERTIFICATE", sign(t, leaf, authority, leafKey, authorityKey)),
		Key:  write(t, dir, "key.pem", "EC PRIVATE KEY", key),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("redistest: make a key: %v", err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, subject, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &subject.PublicKey, signer)
	if err != nil {
		t.Fatalf("redistest: sign a certificate: %v", err)
	}
	return der
}

func write(t testing.TB, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatalf("redistest: write %s: %v", name, err)
	}
	return path
}
