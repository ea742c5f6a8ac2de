//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bookstore/services/shoptest/cluster"
)

// inside runs curl where an allocation's task runs: in its network namespace, as its user. Curl prints the answer's
// body and, in a last line, its status.
func inside(t *testing.T, service string, arguments ...string) (status int, body string, err error) {
	t.Helper()
	pid, err := cluster.FirstProcess(cluster.Container(service, cluster.Running(t, service)[0].ID))
	if err != nil {
		t.Fatal(err)
	}
	command := []string{
		"--target", strconv.Itoa(pid), "--net", "setpriv", "--reuid=65532", "--regid=65532", "--clear-groups",
		"curl", "--silent", "--show-error", "--max-time", "5", "--path-as-is", "--write-out", "\n%{http_code}",
	}
	out, err := cluster.Command("nsenter", append(command, arguments...)...)
	at := strings.LastIndexByte(out, '\n')
	status, _ = strconv.Atoi(out[at+1:])
	return status, strings.TrimSpace(out[:max(at, 0)]), err
}

// denials counts what the sidecars of a service have refused by its intentions.
func denials(t *testing.T, service string) (n float64) {
	t.Helper()
	all, err := cluster.MeasuredAt(t.Context(), t, service, "envoy")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		n += s.Sum("envoy_http_rbac_denied")
	}
	return n
}

// Who has broken into a container of books asks the coordinator, by the sidecar as books does. What books asks, it may;
// all else is refused by the coordinator's sidecar, and counted there.
func TestAttackMeshFromABrokenService(t *testing.T) {
	const coordinator = "http://127.0.0.1:9104"
	cluster.WaitHealthy(t, 2, "books", "coordinator")
	before := denials(t, "coordinator")
	status, body, err := inside(t, "books", "--json", `{"branch":"books"}`, coordinator+"/internal/transactions/nobodys/ask")
	if err != nil || status == http.StatusForbidden {
		t.Errorf("books may not ask for a transaction's outcome: %d %s %v", status, body, err)
	}
	attacks := []request{
		{http.MethodPost, "/orders"}, {http.MethodPost, "/orders/17/cancel"}, {http.MethodPost, "/checkouts"}, {http.MethodPost, "/checkouts/17/approve"},
		{http.MethodGet, "/transactions"}, {http.MethodGet, "/transactions/17"}, {http.MethodGet, "/checkouts/17"}, {http.MethodGet, "/checkouts/17/events"},
		{http.MethodGet, "/metrics"}, {http.MethodGet, "/health"}, {http.MethodGet, "/ready"}, {http.MethodGet, "/internal/transactions/17/ask"},
		{http.MethodPost, "/internal/transactions/17/commit"}, {http.MethodPost, "/internal/transactions/17/ask/../../../../orders"},
		{http.MethodPost, "/internal/transactions/17%2f18/x/ask"},
	}
	for _, a := range attacks {
		if status, body, err := inside(t, "books", "--request", a.method, coordinator+a.path); err != nil || !deniedByEnvoy(status, body) {
			t.Errorf("books may call %s %s of coordinator: %d %s %v", a.method, a.path, status, body, err)
		}
	}
	if seen := denials(t, "coordinator") - before; seen < float64(len(attacks)) {
		t.Errorf("%d calls were refused; the sidecars' metrics count %v", len(attacks), seen)
	}
}

// Who has the gateway's certificate and its key calls the sidecars of other services directly: it may do what the gateway
// does, and at a service that the gateway does not call, nothing.
func TestAttackMeshWithAStolenCertificate(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	stolen := certificate(t, "gateway")
	all := []request{
		{http.MethodGet, "/ready"}, {http.MethodGet, "/metrics"}, {http.MethodGet, "/health"}, {http.MethodGet, "/internal/payments"}, {http.MethodDelete, "/orders/17"},
		{http.MethodPost, "/internal/quotes"}, {http.MethodPost, "/internal/transactions/17/prepare"}, {http.MethodPost, "/internal/transactions/17/commit"},
		{http.MethodPost, "/internal/transactions/17/ask"}, {http.MethodPost, "/internal/sagas/17/steps/restock/do"},
		{http.MethodPost, "/internal/sagas/17/steps/refund/do"}, {http.MethodPost, "/internal/sagas/17/steps/create_order/do"},
		{http.MethodGet, "/books/17"}, {http.MethodGet, "/orders/17"}, {http.MethodGet, "/transactions/17"},
	}
	for _, service := range []string{"books", "orders", "coordinator", "payments"} {
		may, before, refused := allowedCallers(t, service)["gateway"], denials(t, service), 0
		for _, c := range all {
			status, body, err := through(t.Context(), t, sidecar(t, service), c.method, c.path, stolen)
			if err != nil {
				t.Fatal(err)
			}
			denied := deniedByEnvoy(status, body)
			if denied == slices.Contains(may, c) {
				t.Errorf("%s %s of %s with the gateway's certificate: %d %s", c.method, c.path, service, status, body)
			}
			if denied {
				refused++
			}
		}
		if seen := denials(t, service) - before; refused == 0 || seen < float64(refused) {
			t.Errorf("%s refused %d calls; its sidecars' metrics count %v", service, refused, seen)
		}
	}
}
