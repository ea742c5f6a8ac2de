//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// sidecar is the address of one instance's mTLS port.
func sidecar(t *testing.T, service string) string {
	t.Helper()
	entries, err := cluster.Healthy(t.Context(), t, service+"-sidecar-proxy", "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no sidecar of %s in Consul: %v", service, err)
	}
	return net.JoinHostPort(cluster.Address(entries[0]), strconv.Itoa(entries[0].Service.Port))
}

// through sends a request without a body to a sidecar, with the certificate of a service or with none.
func through(ctx context.Context, t *testing.T, sidecar, method, path string, certificates ...tls.Certificate) (int, string, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // the server's side is not what is tested here
		MinVersion:         tls.VersionTLS12, Certificates: certificates,
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+sidecar+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	return res.StatusCode, string(body), err
}

// certificate is what the mesh gives to instances of a service.
func certificate(t *testing.T, service string) tls.Certificate {
	t.Helper()
	leaf, _, err := cluster.Consul(t).Agent().ConnectCALeaf(service, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// Without a certificate of the mesh nobody gets to a sidecar at all.
func TestSidecarRefusesStrangers(t *testing.T) {
	for _, service := range cluster.Services {
		if status, body, err := through(t.Context(), t, sidecar(t, service), http.MethodGet, "/ready"); err == nil {
			t.Errorf("%s answered a stranger: %d %s", service, status, body)
		}
	}
}

// Who may call whom stands in Consul's intentions; all else is denied by the callee's own
// sidecar. The callers below are impersonated with their own certificates.
func TestIntentionsAreEnforced(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	callers := append([]string{"ingress"}, cluster.Services...)
	for _, destination := range cluster.Services {
		at, allowed := sidecar(t, destination), allowedCallers(t, destination)
		for _, caller := range callers {
			if caller == destination {
				continue
			}
			own := certificate(t, caller)
			may := allowed[caller]
			call := request{http.MethodGet, "/ready"}
			if len(may) > 0 {
				call = may[0]
			}
			shoptest.Eventually(t, 30*time.Second, caller+" calls "+destination, func(ctx context.Context) error {
				status, body, err := through(ctx, t, at, call.method, call.path, own)
				if err != nil {
					return err
				}
				if denied := deniedByEnvoy(status, body); denied != (len(may) == 0) {
					return fmt.Errorf("denied: %t; %d %s", denied, status, body)
				}
				return nil
			})
		}
	}
}

// deniedByEnvoy tells whether an answer is a sidecar's refusal by its intentions.
func deniedByEnvoy(status int, body string) bool {
	return status == http.StatusForbidden && body == "RBAC: access denied"
}

// request is a call that a service may be sent.
type request struct{ method, path string }

// allowedCallers reads a service's intentions: for each caller the calls that it may make. It insists on what the design
// rests on.
func allowedCallers(t *testing.T, destination string) map[string][]request {
	t.Helper()
	allowed := map[string][]request{}
	entry, _, err := cluster.Consul(t).ConfigEntries().Get(consul.ServiceIntentions, destination, nil)
	if none, ok := errors.AsType[consul.StatusError](err); ok && none.Code == http.StatusNotFound {
		return allowed // nobody may
	}
	if err != nil {
		t.Fatalf("the intentions of %s: %v", destination, err)
	}
	for _, source := range entry.(*consul.ServiceIntentionsConfigEntry).Sources {
		if source.Action == consul.IntentionActionAllow { // everything
			allowed[source.Name] = []request{{http.MethodGet, "/books"}}
		}
		for _, p := range source.Permissions {
			path := p.HTTP.PathExact + strings.ReplaceAll(p.HTTP.PathRegex, "[^/]+", "17")
			for _, method := range p.HTTP.Methods {
				allowed[source.Name] = append(allowed[source.Name], request{method, path})
			}
		}
	}
	if (len(allowed["ingress"]) > 0) != (destination == "gateway") || len(allowed["*"]) > 0 || (destination == "orders" && len(allowed["books"]) > 0) {
		t.Errorf("%s may be called by %v", destination, allowed)
	}
	return allowed
}

// An app listens on 127.0.0.1 in a namespace of its own: from the machine it can be reached
// neither at its allocation's address nor at the machine's, and what its sidecar exposes for
// checks and metrics is those paths alone.
func TestAppsAreReachedThroughTheMeshOnly(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	client := cluster.Nomad(t)
	for _, service := range cluster.Services {
		allocs, _, err := client.Jobs().Allocations(service, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, stub := range allocs {
			if stub.ClientStatus != nomad.AllocClientStatusRunning {
				continue
			}
			alloc, _, err := client.Allocations().Info(stub.ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			if alloc.NetworkStatus == nil || alloc.NetworkStatus.Address == "" {
				t.Errorf("allocation %s of %s has no network namespace", stub.ID, service)
				continue
			}
			requireRefused(t, net.JoinHostPort(alloc.NetworkStatus.Address, "8080"))
			for _, port := range alloc.Resources.Networks[0].DynamicPorts {
				if port.Label == "metrics" {
					requireOnlyMetrics(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port.Value)))
				}
			}
		}
	}
}

func requireRefused(t *testing.T, address string) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
	if err == nil {
		_ = conn.Close()
		t.Errorf("%s takes connections", address)
	} else if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s: %v, want the connection refused", address, err)
	}
}

func requireOnlyMetrics(t *testing.T, address string) {
	t.Helper()
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/books": http.StatusNotFound, "/internal/quotes": http.StatusNotFound} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			t.Errorf("%s%s: %v", address, path, err)
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s%s: %d, want %d", address, path, res.StatusCode, want)
		}
	}
}
