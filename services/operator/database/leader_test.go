package database

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/operatortest"
	"bookstore/services/platform/pg/pgtest"
)

// An operator's statement goes to the member that takes writes, over TLS, whichever Consul names first.
func TestLeader(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	ask := func() (bool, error) {
		return Ask[bool](t.Context(), c, "postgres", "select ssl from pg_stat_ssl where pid = pg_backend_pid()")
	}
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "'go tool task up'") {
		t.Errorf("without members: %v", err)
	}
	if _, err := c.Change(t.Context(), "patroni", func(items nomad.VariableItems) { items["superuser_password"] = "secret" }); err != nil {
		t.Fatal(err)
	}
	certificate := selfSigned(t)
	register(t, c, certificate, "replica", "default_transaction_read_only=on")
	if _, err := ask(); err == nil || !strings.Contains(err.Error(), "takes writes") || strings.Contains(err.Error(), "secret") {
		t.Errorf("without a leader: %v", err)
	}
	register(t, c, certificate, "leader")
	for range 5 {
		if encrypted, err := ask(); err != nil || !encrypted {
			t.Errorf("encrypted: %t, %v", encrypted, err)
		}
	}
}

// register starts a server and has Consul know it as a member.
func register(t *testing.T, c *cluster.Cluster, certificate, id string, settings ...string) {
	t.Helper()
	server := pgtest.Start(t, pgtest.Options{Settings: settings})
	server.EnableTLS(t, certificate)
	announce(t, c, "patroni", id, server.Addr())
}

// selfSigned is a certificate and its key, as one PEM text.
func selfSigned(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}
