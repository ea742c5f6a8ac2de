package provide

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// leastRSA is the shortest RSA key that Envoy takes, in bits.
const leastRSA = 2048

// usable tells whether the ingress can show a certificate to clients: Envoy refuses some, clients others.
func usable(pair tls.Certificate, now time.Time) error {
	leaf := pair.Leaf
	var problems []error
	if now.Before(leaf.NotBefore) || !now.Before(leaf.NotAfter) {
		problems = append(problems, fmt.Errorf("it is valid from %s to %s", leaf.NotBefore.Format(time.DateTime), leaf.NotAfter.Format(time.DateTime)))
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		problems = append(problems, errors.New("it names no host: clients look at the subject's alternative names alone"))
	}
	uses := leaf.ExtKeyUsage
	if len(uses) > 0 && !slices.Contains(uses, x509.ExtKeyUsageServerAuth) && !slices.Contains(uses, x509.ExtKeyUsageAny) {
		problems = append(problems, errors.New("it is not for a server (extended key usage)"))
	}
	if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < leastRSA {
		problems = append(problems, fmt.Errorf("its RSA key has %d bits, at least %d are needed", key.N.BitLen(), leastRSA))
	}
	return errors.Join(problems...)
}
