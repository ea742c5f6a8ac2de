package pg_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
)

// leaf writes a mesh authority and, as one PEM text, a leaf of the service postgres.
func leaf(t *testing.T, caFile string) (pemText string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	identity := &url.URL{Scheme: "spiffe", Host: "test.consul", Path: "/ns/default/dc/dc1/svc/postgres"}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		URIs: []*url.URL{identity}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	root := certify(t, ca, ca, key)
	if err := os.WriteFile(caFile, root, 0o600); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(certify(t, server, ca, key)) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func certify(t *testing.T, cert, by *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, by, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestMeshTLSAndCredentialsOfAFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	c := pg.Config{
		DSN: "postgres:///postgres", TLSService: "postgres", MaxConns: 1,
		MembersFile: filepath.Join(dir, "members"), CredentialsFile: filepath.Join(dir, "login"), CAFile: filepath.Join(dir, "ca.pem"),
	}
	server := pgtest.Start(t, pgtest.Options{})
	server.EnableTLS(t, leaf(t, c.CAFile))
	admin := server.Conn(t, "postgres")
	if _, err := admin.Exec(ctx, "create role clerk login password 'first'"); err != nil {
		t.Fatal(err)
	}
	server.RequirePasswords(t, "clerk")
	write(t, c.MembersFile, server.Addr())
	write(t, c.CredentialsFile, "clerk:first")
	query := func(c pg.Config) (encrypted bool, err error) {
		pool, err := pg.Open(ctx, c, "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		err = pool.QueryRow(ctx, "select ssl from pg_stat_ssl where pid = pg_backend_pid()").Scan(&encrypted)
		return encrypted, err
	}
	if encrypted, err := query(c); err != nil || !encrypted {
		t.Fatalf("encrypted=%t, %v", encrypted, err)
	}
	other := c
	other.TLSService = "redis"
	if _, err := query(other); fault.KindOf(pg.Fault("query", err)) != fault.Unavailable {
		t.Errorf("the server passed as another service: %v", err)
	}
	write(t, c.CredentialsFile, "clerk:second")
	if _, err := query(c); err == nil {
		t.Error("the old password is still used")
	}
	if _, err := admin.Exec(ctx, "alter role clerk password 'second'"); err != nil {
		t.Fatal(err)
	}
	if _, err := query(c); err != nil {
		t.Errorf("the new password: %v", err)
	}
}
