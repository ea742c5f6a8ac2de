package shoptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bookstore/services/shoptest/hosts"
)

// silence is how long a client that knows several addresses waits for the answer of one before it asks the next. It is longer
// than a read takes, and shorter for reads than for orders, which wait for others.
func silence(k Call) time.Duration {
	if k.Method == http.MethodGet {
		return time.Second
	}
	return 3 * time.Second
}

// repeatable tells whether a call may be made again where its outcome is not known.
func repeatable(k Call) bool { return k.Method == http.MethodGet || k.Header["Idempotency-Key"] != "" }

// tryAddresses makes a call at the address that answered last, and where that is silent at the others in turn, which the client
// then keeps to. Of the last one only the client's own time-out bounds the answer.
func (c *Client) tryAddresses(ctx context.Context, k Call, body []byte) (*Answer, error) {
	all := append([]string{c.Base}, c.next...)
	if !repeatable(k) {
		return c.send(ctx, all[c.at.Load()], k, body)
	}
	first := int(c.at.Load())
	var problems []error
	for i := range all {
		now := (first + i) % len(all)
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if i < len(all)-1 {
			waiting, cancel = context.WithTimeout(ctx, silence(k))
		}
		a, err := c.send(waiting, all[now], k, body)
		cancel()
		if err == nil {
			return a, nil
		}
		problems = append(problems, err)
		if ctx.Err() != nil {
			break
		}
		// Of many calls that found the same address silent one moves on.
		c.at.CompareAndSwap(int32(now), int32((now+1)%len(all)))
	}
	return nil, errors.Join(problems...)
}

// StartAt has the client use the address of this machine of the lab first.
func (c *Client) StartAt(h hosts.Host) {
	i := slices.IndexFunc(append([]string{c.Base}, c.next...), func(base string) bool { return strings.Contains(base, "//"+h.Address+":") })
	c.at.Store(int32(max(0, i)))
}

// Each are clients of one address each.
func (c *Client) Each() (all []*Client) {
	for _, base := range append([]string{c.Base}, c.next...) {
		all = append(all, &Client{Base: base, Token: c.Token, HTTP: c.HTTP, Check: c.Check})
	}
	return all
}

// caFile is the certificate of the shop's CA on every machine.
const caFile = "/etc/bookstore/ca.pem"

// SecureDoor is where the first ingress takes TLS, and what verifies it as a customer does who trusts the shop's CA.
func SecureDoor(t testing.TB) (address string, trusting *tls.Config) {
	t.Helper()
	address, read := "127.0.0.1:8443", os.ReadFile
	if hosts.InUse() {
		address, read = strings.TrimPrefix(BaseURL(t), "https://"), func(path string) ([]byte, error) { return hosts.Read(t.Context(), path) }
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := read(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("no certificate in %s", caFile)
	}
	return address, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: host}
}
