package provide

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
)

// S3Name is what the S3 server of the second backup repository is asked for and certified as (jobs/s3.nomad.hcl).
const S3Name = "s3.bookstore.internal"

// How long a certificate of the S3 server is good, and how long before its end another is made.
const (
	certified = 365 * 24 * time.Hour
	renewed   = 30 * 24 * time.Hour
)

// S3Certificate gives the job s3 a certificate of the shop's CA, unless it has one with a month of its year left. It tells
// whether it made one. caKey is empty on a machine that has not got the CA's key.
func S3Certificate(ctx context.Context, c *cluster.Cluster, ca, caKey string) (made bool, err error) {
	items, err := c.Items(ctx, "s3")
	if err != nil {
		return false, fmt.Errorf("read the certificate of the S3 server: %w", err)
	}
	if verify(ca, items["certificate"], time.Now().Add(renewed)) == nil {
		return false, nil
	}
	certificate, key, err := newS3(ca, caKey)
	if err != nil {
		return false, err
	}
	return c.Change(ctx, "s3", func(has nomad.VariableItems) { has["certificate"], has["private_key"] = certificate, key })
}

func newS3(ca, caKey string) (certificate, key string, err error) {
	if caKey == "" {
		return "", "", errors.New("the S3 server needs a certificate, and the key of the CA is not on this machine: run this on the first one")
	}
	return ServerCertificate(ca, caKey, S3Name, certified)
}

// The files of the S3 server's certificate among those of the machine's access, for a shop that is not deployed from here.
const (
	s3File    = "s3.pem"
	s3KeyFile = "s3-key.pem"
)

// S3Files keeps a certificate for the S3 server in files of this machine, unless there is one with a month of its year left. It
// tells whether it made one.
func S3Files(keys Keys) (made bool, err error) {
	there, err := machine.Secret(s3File)
	if err == nil && verify(keys.CA, there, time.Now().Add(renewed)) == nil {
		return false, nil
	}
	certificate, key, err := newS3(keys.CA, keys.CAKey)
	if err != nil {
		return false, err
	}
	if err := machine.KeepSecret(filepath.Join(machine.Access, s3KeyFile), []byte(key)); err != nil {
		return false, err
	}
	return true, machine.KeepSecret(filepath.Join(machine.Access, s3File), []byte(certificate))
}

// verify tells whether the CA signed a certificate of S3Name that is good at a time.
func verify(ca, certificate string, at time.Time) error {
	its, err := parse(certificate)
	if err != nil {
		return err
	}
	return signed(ca, its, x509.VerifyOptions{DNSName: S3Name, CurrentTime: at})
}

// parse reads the first certificate of a PEM text.
func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("there is no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// signed tells whether this CA and no other signed a certificate, and whether it is good for what else is asked.
func signed(ca string, its *x509.Certificate, also x509.VerifyOptions) error {
	also.Roots = x509.NewCertPool()
	also.Roots.AppendCertsFromPEM([]byte(ca))
	_, err := its.Verify(also)
	return err
}

// ServerCertificate makes a server's certificate, signed by a CA, and its key, all in PEM.
func ServerCertificate(ca, caKey, name string, good time.Duration) (certificate, key string, err error) {
	template := of(name, good)
	template.DNSNames = []string{name}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return signedBy(ca, caKey, template)
}

// AgentCertificate makes the certificate of a machine's agents, which are servers and clients of each other.
func AgentCertificate(ca, caKey string, address net.IP, good time.Duration) (certificate, key string, err error) {
	template := of("server.global.nomad", good)
	template.DNSNames, template.IPAddresses = agentNames, []net.IP{net.IPv4(127, 0, 0, 1), address}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return signedBy(ca, caKey, template)
}

// DoorCertificate makes a certificate of the door for these addresses and this machine's own.
func DoorCertificate(ca, caKey string, addresses []net.IP, good time.Duration) (certificate, key string, err error) {
	template := of("localhost", good)
	template.DNSNames, template.IPAddresses = []string{"localhost"}, append([]net.IP{net.IPv4(127, 0, 0, 1)}, addresses...)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return signedBy(ca, caKey, template)
}

// signedBy has a CA sign a certificate. All is PEM.
func signedBy(ca, caKey string, template *x509.Certificate) (certificate, key string, err error) {
	block, _ := pem.Decode([]byte(ca))
	keyBlock, _ := pem.Decode([]byte(caKey))
	if block == nil || keyBlock == nil {
		return "", "", errors.New("the CA's certificate or key is not PEM")
	}
	parent, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", "", fmt.Errorf("read the CA's certificate: %w", err)
	}
	signer, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return "", "", fmt.Errorf("read the CA's key: %w", err)
	}
	return sign(template, parent, signer)
}

// NewCA makes a CA and its key, in PEM.
func NewCA(name string, good time.Duration) (ca, key string, err error) {
	template := of(name, good)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	return sign(template, template, nil)
}

func of(name string, good time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // it never fails
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Minute), // clocks differ
		NotAfter:     now.Add(good),
	}
}

// sign makes a key and signs its certificate, by itself without a signer.
func sign(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (certificate, key string, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	if signer == nil {
		signer = own
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &own.PublicKey, signer)
	if err != nil {
		return "", "", fmt.Errorf("make a certificate for %s: %w", template.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		return "", "", err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER), nil
}
