package paymentsservice_test

import (
	"net/http"
	"strings"
	"testing"

	"bookstore/services/payments/paymentspg"
	"bookstore/services/payments/paymentsservice"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/service"
	"bookstore/services/platform/service/servicetest"
	"bookstore/services/platform/web/webtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, webtest.Leaks()...) }

func TestServesUntilItIsStopped(t *testing.T) {
	s := servicetest.Start(t, "payments", paymentsservice.Build, map[string]string{
		"DRAIN_DELAY": "500ms", "VERSION": "1.2.3", "DB_DSN": pgtest.DSN(t, paymentspg.Migrations),
	})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"paymentdb":"ok"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("health: %s", text)
	}
	s.Await("/internal/payments/7", http.StatusNotFound)
	const order = "019aaf00-0000-7000-8000-000000000001"
	requireStep(t, s, "authorise/do", `{"payload":{"orderId":"`+order+`","token":"tok_ok","method":"card","amountCents":5,"currency":"EUR"}}`)
	requireStep(t, s, "authorise/undo", "{}")
	if text := s.Await("/internal/payments?orderId="+order, http.StatusOK); !strings.Contains(text, `"state":"voided"`) {
		t.Errorf("payments: %s", text)
	}
	metrics := s.Await("/metrics", http.StatusOK)
	for _, series := range []string{
		"db_pool_connections", `payments_total{op="void",result="done"} 1`, `step_operations_total{op="undo",result="done",step="authorise"} 1`,
	} {
		if !strings.Contains(metrics, series) {
			t.Errorf("%s is not exported:\n%s", series, metrics)
		}
	}
	s.Stop()
	s.Await("/ready", http.StatusServiceUnavailable)
	s.Stopped()
}

// requireStep takes a step of a saga and requires it to be done.
func requireStep(t *testing.T, s *servicetest.Server, path, body string) {
	t.Helper()
	path = "/internal/sagas/019aaf00-0000-4000-8000-00000000000a/steps/" + path
	if status, text := s.Send(http.MethodPost, path, "application/json", strings.NewReader(body)); status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, status, text)
	}
}

func TestTheProvidersTimeIsBounded(t *testing.T) {
	for _, timeout := range []string{"3s", "10s", "-1s"} {
		env := servicetest.Environment(map[string]string{"DB_DSN": "postgres://127.0.0.1/paymentdb", "PROVIDER_TIMEOUT": timeout})
		err := service.Run(t.Context(), "payments", env, paymentsservice.Build)
		if err == nil || !strings.Contains(err.Error(), "PROVIDER_TIMEOUT") {
			t.Errorf("%s: %v", timeout, err)
		}
	}
}
