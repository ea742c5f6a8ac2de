// Package acme gets the certificate of the ingress from an ACME directory (RFC 8555), and renews it. The challenge
// (HTTP-01) is answered by every ingress: Nomad renders it from the variable that also holds the certificate.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/platform/config"
	"bookstore/services/platform/dial"
)

// Settings come from the environment. NOMAD_API is where Nomad's API is, for a task `unix://` and the path of its own
// socket; INGRESSES are the addresses, host:port, where the ingresses answer challenges; CA_FILE has the certificates that
// signed the directory's, where the system's do not.
type Settings struct {
	config.Log
	Domains   []string      `env:"DOMAINS,required"`
	Email     string        `env:"EMAIL"`
	Directory string        `env:"DIRECTORY,required"`
	CAFile    string        `env:"CA_FILE"`
	Ingresses []string      `env:"INGRESSES"`
	NomadAPI  string        `env:"NOMAD_API,required"`
	Token     config.Secret `env:"NOMAD_TOKEN"`
	Timeout   time.Duration `env:"TIMEOUT" envDefault:"10m"`
}

// Validate reports every problem at once.
func (s Settings) Validate() error {
	errs := []error{s.Log.Validate()}
	if at, err := url.Parse(s.Directory); err != nil || at.Scheme != "https" || at.Host == "" {
		errs = append(errs, fmt.Errorf("DIRECTORY is %q, it has to be a URL that begins with https://", s.Directory))
	}
	if len(s.Ingresses) == 0 {
		errs = append(errs, errors.New("INGRESSES is empty: no ingress is healthy that could answer a challenge"))
	}
	if s.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("TIMEOUT is %s, it has to be positive", s.Timeout))
	}
	return errors.Join(errs...)
}

// Task gets a certificate if one is due. The one that the ingress has stays until there is another.
func Task(ctx context.Context, log *slog.Logger, s Settings) error {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	client, err := nomad.NewClient(&nomad.Config{Address: s.NomadAPI, SecretID: s.Token.Reveal()})
	if err != nil {
		return fmt.Errorf("reach Nomad: %w", err)
	}
	defer client.Close()
	directory, err := reach(s.CAFile)
	if err != nil {
		return err
	}
	defer directory.CloseIdleConnections()
	return renew(ctx, log, s, store{client.Variables()}, directory)
}

// renew does the work of Task.
func renew(ctx context.Context, log *slog.Logger, s Settings, kept store, directory *http.Client) error {
	ingress, err := kept.read(ctx, ingressPath)
	if err != nil {
		return err
	}
	own, err := kept.read(ctx, ownPath)
	if err != nil {
		return err
	}
	due, why := dueAt(ingress["certificate"], s.Domains)
	if own["directory"] != s.Directory {
		due, why = time.Time{}, "no certificate is from this directory yet"
	}
	if time.Now().Before(due) {
		log.Info("nothing is due", "renewed_from", due.Format(time.RFC3339))
		return nil
	}
	log.Info("a certificate is due", "why", why, "domains", s.Domains, "directory", s.Directory)
	o := orderer{log: log, settings: s, kept: kept, http: directory}
	certificate, key, err := o.order(ctx, own)
	if err != nil {
		return fmt.Errorf("the ingress keeps the certificate that it has: %w", err)
	}
	err = kept.change(ctx, ingressPath, func(has nomad.VariableItems) {
		has["certificate"], has["certificate_key"] = certificate, key
	})
	if err != nil {
		return err
	}
	if err := kept.change(ctx, ownPath, func(has nomad.VariableItems) { has["directory"] = s.Directory }); err != nil {
		return err
	}
	due, _ = dueAt(certificate, s.Domains)
	log.Info("the ingress has a new certificate", "renewed_from", due.Format(time.RFC3339))
	return nil
}

// connectTimeout and requestTimeout bound one connection and one request to the directory.
const (
	connectTimeout = 10 * time.Second
	requestTimeout = 30 * time.Second
)

// reach makes the client that asks the directory. It trusts the certificates of a file, if one is named and has any, else
// the system's.
func reach(caFile string) (*http.Client, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("the CA of the directory: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA of the directory: %s has no certificate (PEM)", caFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{DialContext: dial.Dialer(connectTimeout).DialContext, TLSClientConfig: settings, ForceAttemptHTTP2: true, IdleConnTimeout: requestTimeout},
		Timeout:   requestTimeout,
	}, nil
}
