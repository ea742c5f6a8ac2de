package ordersservice_test

import (
	"net/http"
	"strings"
	"testing"

	"bookstore/services/orders/orderspg"
	"bookstore/services/orders/ordersservice"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/service/servicetest"
	"bookstore/services/platform/web/webtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, webtest.Leaks()...) }

func TestServesUntilItIsStopped(t *testing.T) {
	s := servicetest.Start(t, "orders", ordersservice.Build, map[string]string{
		"DRAIN_DELAY": "500ms", "VERSION": "1.2.3",
		"COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": pgtest.DSN(t, orderspg.Migrations),
	})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"orderdb":"ok"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("health: %s", text)
	}
	if text := s.Await("/orders", http.StatusOK); text != `{"items":[]}` {
		t.Errorf("orders: %s", text)
	}
	s.Await("/orders/7", http.StatusNotFound)
	if metrics := s.Await("/metrics", http.StatusOK); !strings.Contains(metrics, "db_pool_connections") {
		t.Errorf("the pool is not exported:\n%s", metrics)
	}
	s.Stop()
	s.Await("/ready", http.StatusServiceUnavailable)
	s.Stopped()
}
