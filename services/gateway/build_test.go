package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/gateway"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/service"
	"bookstore/services/platform/service/servicetest"
)

func TestFromStartToDrain(t *testing.T) {
	t.Parallel()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("admin operator secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	redis := redistest.Config(t, redistest.Cluster(t))
	s := servicetest.Start(t, "gateway", gateway.Build, map[string]string{
		"DRAIN_DELAY": "300ms",
		"BOOKS_URL":   "http://127.0.0.1:1", "ORDERS_URL": "http://127.0.0.1:1", "COORDINATOR_URL": "http://127.0.0.1:1",
		"TOKENS_FILE": tokens, "REDIS_MEMBERS_FILE": redis.MembersFile, "REDIS_CREDENTIALS_FILE": redis.CredentialsFile,
	})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"redis":"ok"`) || !strings.Contains(text, `"books":"unavailable"`) {
		t.Errorf("health is %s", text)
	}
	s.Await("/books", http.StatusServiceUnavailable)
	s.Await("/transactions", http.StatusUnauthorized)
	s.Stop()
	s.Await("/ready", http.StatusServiceUnavailable)
	s.Stopped()
}

func TestEveryProblemOfTheEnvironmentIsReported(t *testing.T) {
	t.Parallel()
	env := servicetest.Environment(map[string]string{"BOOKS_URL": "books:80", "COORDINATOR_URL": "http://127.0.0.1:1"})
	err := service.Run(t.Context(), "gateway", env, gateway.Build)
	for _, name := range []string{"ORDERS_URL", "address of books"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
