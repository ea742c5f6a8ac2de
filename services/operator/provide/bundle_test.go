package provide_test

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"bookstore/services/operator/provide"
)

// unpacked is what a bundle has, by file.
func unpacked(t *testing.T, b provide.Bundle, dir string) map[string]string {
	t.Helper()
	var text bytes.Buffer
	if err := b.Write(&text, dir); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(&text); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode != 0o600 {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}

// Machines of one shop share a CA and keys, each has a certificate of its own, and only those have more that are to.
func TestBundles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 { // the second run changes nothing
		if err := provide.NewKeys(dir); err != nil {
			t.Fatal(err)
		}
	}
	client := unpacked(t, provide.Bundle{Address: "10.0.0.12"}, dir)
	server := unpacked(t, provide.Bundle{Address: "10.0.0.11", Operator: true}, dir)
	first := unpacked(t, provide.Bundle{Address: "10.0.0.10", First: true}, dir)
	shared := []string{"agent-key.pem", "agent.consul", "agent.nomad", "agent.pem", "ca.pem", "consul.gossip", "nomad.gossip"}
	for name, want := range map[string]struct{ has, wants []string }{
		"client": {slices.Sorted(maps.Keys(client)), shared},
		"server": {slices.Sorted(maps.Keys(server)), append(slices.Clone(shared), "operator.consul", "operator.nomad")},
		"first":  {slices.Sorted(maps.Keys(first)), append(slices.Clone(shared), "ca-key.pem", "operator.consul", "operator.nomad")},
	} {
		slices.Sort(want.wants)
		if !slices.Equal(want.has, want.wants) {
			t.Errorf("the %s has %v, wants %v", name, want.has, want.wants)
		}
	}
	for _, file := range []string{"ca.pem", "consul.gossip", "agent.nomad"} {
		if client[file] != server[file] || server[file] != first[file] {
			t.Errorf("they differ in %s", file)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(client["ca.pem"]))
	block, _ := pem.Decode([]byte(client["agent.pem"]))
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10.0.0.12", "127.0.0.1", "server.global.nomad", "client.global.nomad", "server.dc1.consul"} {
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		if _, err := certificate.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, KeyUsages: usages}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if certificate.VerifyHostname("10.0.0.11") == nil {
		t.Error("it is good for another machine")
	}
}

func TestBundlesForNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := (provide.Bundle{Address: "10.0.0.12"}).Write(io.Discard, dir); err == nil {
		t.Error("made without keys")
	}
	if err := provide.NewKeys(dir); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"", "lab2", "127.0.0.1", "::1", "10.0.0"} {
		if err := (provide.Bundle{Address: address}).Write(io.Discard, dir); err == nil {
			t.Errorf("made for %q", address)
		}
	}
}
