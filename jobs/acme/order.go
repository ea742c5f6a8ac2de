package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"
	"golang.org/x/crypto/acme"
)

// orderer gets one certificate.
type orderer struct {
	log      *slog.Logger
	settings Settings
	kept     store
	http     *http.Client
}

// order returns a certificate with those that signed it, and its key, in PEM. own is what the program's variable has.
func (o orderer) order(ctx context.Context, own nomad.VariableItems) (chain, key string, err error) {
	client, err := o.account(ctx, own)
	if err != nil {
		return "", "", err
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(o.settings.Domains...))
	if err != nil {
		return "", "", fmt.Errorf("order a certificate: %w", err)
	}
	for _, at := range order.AuthzURLs {
		if err := o.authorize(ctx, client, at); err != nil {
			return "", "", err
		}
	}
	uri := order.URI
	if order, err = client.WaitOrder(ctx, uri); err != nil {
		return "", "", fmt.Errorf("wait for the order: %w", err)
	}
	order.URI = uri // not every answer repeats it
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: o.settings.Domains}, private)
	if err != nil {
		return "", "", fmt.Errorf("make the request of a certificate: %w", err)
	}
	der, _, err := client.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return "", "", fmt.Errorf("fetch the certificate: %w", err)
	}
	return o.encode(der, private)
}

// encode makes PEM of what the directory sent, which has to be good for all domains from now on.
func (o orderer) encode(der [][]byte, private *ecdsa.PrivateKey) (chain, key string, err error) {
	var text strings.Builder
	for _, certificate := range der {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: certificate}); err != nil {
			return "", "", err
		}
	}
	if key, err = encodeKey(private); err != nil {
		return "", "", err
	}
	if _, err := tls.X509KeyPair([]byte(text.String()), []byte(key)); err != nil {
		return "", "", fmt.Errorf("the directory's certificate is not for the key of the request: %w", err)
	}
	if due, why := dueAt(text.String(), o.settings.Domains); due.Before(time.Now()) {
		return "", "", fmt.Errorf("the directory's certificate is of no use: %s", why)
	}
	return text.String(), key, nil
}

func encodeKey(private *ecdsa.PrivateKey) (string, error) {
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})), nil
}

// account returns a client with the account at the directory, which it makes when there is none. Its key is kept before
// it is used.
func (o orderer) account(ctx context.Context, own nomad.VariableItems) (*acme.Client, error) {
	var private *ecdsa.PrivateKey
	var err error
	if block, _ := pem.Decode([]byte(own["account_key"])); block != nil && own["account_directory"] == o.settings.Directory {
		private, err = x509.ParseECPrivateKey(block.Bytes)
	} else {
		private, err = o.newKey(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the account: %w", err)
	}
	client := &acme.Client{Key: private, DirectoryURL: o.settings.Directory, HTTPClient: o.http, UserAgent: "bookstore"}
	account := &acme.Account{}
	if o.settings.Email != "" {
		account.Contact = []string{"mailto:" + o.settings.Email}
	}
	if _, err := client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("register at %s: %w", o.settings.Directory, err)
	}
	return client, nil
}

func (o orderer) newKey(ctx context.Context) (*ecdsa.PrivateKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(private)
	if err != nil {
		return nil, err
	}
	return private, o.kept.change(ctx, ownPath, func(has nomad.VariableItems) {
		has["account_key"], has["account_directory"] = text, o.settings.Directory
	})
}

// challengeToken is what a directory may call a challenge (RFC 8555, 8.3: base64url); it becomes part of Envoy's routes.
var challengeToken = regexp.MustCompile(`^[A-Za-z0-9_-]{16,256}$`)

// authorize proves that the shop has a domain, unless the directory still knows it.
func (o orderer) authorize(ctx context.Context, client *acme.Client, at string) error {
	authorization, err := client.GetAuthorization(ctx, at)
	if err != nil {
		return fmt.Errorf("read the authorization: %w", err)
	}
	domain := authorization.Identifier.Value
	if authorization.Status == acme.StatusValid {
		return nil
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type != "http-01" {
			continue
		}
		if err := o.answer(ctx, client, challenge, at); err != nil {
			return fmt.Errorf("prove that %s is the shop's: %w", domain, err)
		}
		o.log.Info("the directory has reached the shop", "domain", domain)
		return nil
	}
	return fmt.Errorf("the directory offers no challenge of the type http-01 for %s", domain)
}

// answer has every ingress answer a challenge until the directory has asked.
func (o orderer) answer(ctx context.Context, client *acme.Client, challenge *acme.Challenge, authorization string) (err error) {
	if !challengeToken.MatchString(challenge.Token) {
		return fmt.Errorf("the directory's challenge has the token %q, which is not base64url", challenge.Token)
	}
	want, err := client.HTTP01ChallengeResponse(challenge.Token)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		defer cancel()
		err = errors.Join(err, o.kept.change(ctx, ingressPath, func(has nomad.VariableItems) {
			delete(has, "challenge_token")
			delete(has, "challenge_answer")
		}))
	}()
	err = o.kept.change(ctx, ingressPath, func(has nomad.VariableItems) {
		has["challenge_token"], has["challenge_answer"] = challenge.Token, want
	})
	if err != nil {
		return err
	}
	for _, ingress := range o.settings.Ingresses {
		if err := answered(ctx, "http://"+ingress+client.HTTP01ChallengePath(challenge.Token), want); err != nil {
			return fmt.Errorf("the ingress at %s: %w", ingress, err)
		}
	}
	if _, err := client.Accept(ctx, challenge); err != nil {
		return err
	}
	_, err = client.WaitAuthorization(ctx, authorization)
	return err
}
