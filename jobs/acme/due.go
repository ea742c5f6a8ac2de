package acme

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// dueAt tells from when on a certificate (PEM, the first of a chain) is to be renewed: when a third of its time is left, as
// directories recommend, or at once, and then why.
func dueAt(chain string, domains []string) (at time.Time, why string) {
	block, _ := pem.Decode([]byte(chain))
	if block == nil {
		return time.Time{}, "the ingress has none"
	}
	its, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, fmt.Sprintf("the ingress' cannot be read: %v", err)
	}
	for _, domain := range domains {
		if err := its.VerifyHostname(domain); err != nil {
			return time.Time{}, "the ingress' is not for " + domain
		}
	}
	return its.NotAfter.Add(-its.NotAfter.Sub(its.NotBefore) / 3), "a third of its time is left"
}
