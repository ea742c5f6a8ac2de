package checkoutservice_test

import (
	"net/http"
	"strings"
	"testing"

	"bookstore/services/checkout/checkoutservice"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/service"
	"bookstore/services/platform/service/servicetest"
	"bookstore/services/platform/web/webtest"
	"bookstore/services/txn/txnpg"
)

func TestMain(m *testing.M) { pgtest.Main(m, webtest.Leaks()...) }

func TestServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	s := servicetest.Start(t, "coordinator", checkoutservice.Build, map[string]string{
		"DRAIN_DELAY": "300ms", "DB_DSN": pgtest.DSN(t, txnpg.Migrations),
		"BOOKS_URL": "http://127.0.0.1:1", "ORDERS_URL": "http://127.0.0.1:1", "PAYMENTS_URL": "http://127.0.0.1:1",
	})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"coordinatordb":"ok"`) {
		t.Errorf("health is %s", text)
	}
	if text := s.Await("/transactions", http.StatusOK); text != `{"items":[]}` {
		t.Errorf("transactions are %s", text)
	}
	if text := s.Await("/metrics", http.StatusOK); !strings.Contains(text, "twopc_in_hand") {
		t.Error("the metrics of two-phase commits are missing")
	}
	s.Stop()
	s.Await("/ready", http.StatusServiceUnavailable)
	s.Stopped()
}

func TestABadEnvironmentIsReportedWhole(t *testing.T) {
	t.Parallel()
	err := service.Run(t.Context(), "coordinator", servicetest.Environment(nil), checkoutservice.Build)
	for _, name := range []string{"DB_DSN", "BOOKS_URL", "ORDERS_URL", "PAYMENTS_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
