package provide

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestACertificateHasToBeUsable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	good := func() *x509.Certificate {
		return &x509.Certificate{
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"shop.example"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, PublicKey: &ecdsa.PublicKey{Curve: elliptic.P256()},
		}
	}
	tests := map[string]struct {
		change func(c *x509.Certificate)
		want   string // empty: it is usable
	}{
		"good":             {func(*x509.Certificate) {}, ""},
		"of any use":       {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, ""},
		"RSA of 2048 bits": {func(c *x509.Certificate) { c.PublicKey = ofBits(2048) }, ""},
		"RSA of 1024 bits": {func(c *x509.Certificate) { c.PublicKey = ofBits(1024) }, "1024 bits"},
		"over":             {func(c *x509.Certificate) { c.NotAfter = now }, "valid from"},
		"not yet":          {func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, "valid from"},
		"a common name":    {func(c *x509.Certificate) { c.DNSNames = nil }, "names no host"},
		"a client's":       {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "not for a server"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certificate := good()
			test.change(certificate)
			err := usable(tls.Certificate{Leaf: certificate}, now)
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// ofBits is a key whose modulus has so many bits.
func ofBits(n uint) *rsa.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), n-1), E: 65537}
}
