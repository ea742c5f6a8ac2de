package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// A certificate is renewed when a third of its time is left, and at once when it is not for a domain.
func TestDue(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: begin, NotAfter: begin.AddDate(0, 0, 90), DNSNames: []string{"shop.example.com", "www.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for name, c := range map[string]struct {
		chain   string
		domains []string
		want    time.Time
	}{
		"its domains":      {chain, []string{"www.example.com", "shop.example.com"}, begin.AddDate(0, 0, 60)},
		"a domain more":    {chain, []string{"shop.example.com", "new.example.com"}, time.Time{}},
		"none":             {"", []string{"shop.example.com"}, time.Time{}},
		"no PEM":           {"shop", []string{"shop.example.com"}, time.Time{}},
		"PEM of something": {"-----BEGIN CERTIFICATE-----\nc2hvcA==\n-----END CERTIFICATE-----\n", []string{"shop.example.com"}, time.Time{}},
	} {
		if at, why := dueAt(c.chain, c.domains); !at.Equal(c.want) || why == "" {
			t.Errorf("%s: due at %s (%s), want %s", name, at, why, c.want)
		}
	}
}

// What a directory calls a challenge becomes part of Envoy's routes.
func TestTokensAreBase64URL(t *testing.T) {
	t.Parallel()
	for token, good := range map[string]bool{
		"DGyRejmCefe7v4NfDGDKfA_-": true, "": false, "short": false, `DGyRejmCefe7v4NfDGDKfA"}`: false,
		"DGyRejmCefe7v4Nf\n- match:": false, "../DGyRejmCefe7v4NfDGDKfA": false,
	} {
		if challengeToken.MatchString(token) != good {
			t.Errorf("%q: taken: %t", token, !good)
		}
	}
}

func TestSettingsNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	if err := (Settings{Directory: "http://directory.example.com"}).Validate(); err == nil {
		t.Error("a directory without TLS, without an ingress and without time was taken")
	}
}
