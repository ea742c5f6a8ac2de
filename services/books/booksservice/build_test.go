package booksservice_test

import (
	"net/http"
	"strings"
	"testing"

	"bookstore/services/books/bookspg"
	"bookstore/services/books/booksservice"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/service"
	"bookstore/services/platform/service/servicetest"
	"bookstore/services/platform/web/webtest"
)

func TestMain(m *testing.M) { pgtest.Main(m, append(webtest.Leaks(), redistest.LateDials())...) }

func TestServesUntilItIsStopped(t *testing.T) {
	s := servicetest.Start(t, "books", booksservice.Build, map[string]string{
		"DRAIN_DELAY": "3s", "VERSION": "1.2.3",
		"COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": pgtest.DSN(t, bookspg.Migrations),
	})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"bookdb":"ok"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("health: %s", text)
	}
	if text := s.Await("/books", http.StatusOK); text != `{"items":[]}` {
		t.Errorf("books: %s", text)
	}
	s.Await("/books/1", http.StatusNotFound)
	metrics := s.Await("/metrics", http.StatusOK)
	for _, name := range []string{"http_requests_total", "go_goroutines", "service_info", "branches_prepared_oldest_seconds"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("%s is not exported", name)
		}
	}
	s.Stop()
	s.Await("/ready", http.StatusServiceUnavailable)
	s.Await("/books", http.StatusOK)
	s.Stopped()
}

func TestWaitsForADatabaseThatIsNotThereYet(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.DSN(t, bookspg.Migrations)
	server.Stop(t)
	s := servicetest.Start(t, "books", booksservice.Build, map[string]string{
		"DRAIN_DELAY": "0s", "COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": dsn,
	})
	s.Await("/ready", http.StatusServiceUnavailable)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"degraded"`) {
		t.Errorf("health: %s", text)
	}
	server.Restart(t)
	s.Await("/ready", http.StatusOK)
	server.Kill(t)
	s.Await("/books", http.StatusServiceUnavailable)
	s.Await("/ready", http.StatusOK) // the database being away is no reason to send requests elsewhere
	server.Restart(t)
	s.Await("/books", http.StatusOK)
	s.Stop()
	s.Stopped()
}

func TestAnnouncesWhatChanges(t *testing.T) {
	redis := redistest.Config(t, redistest.Cluster(t))
	s := servicetest.Start(t, "books", booksservice.Build, map[string]string{
		"DRAIN_DELAY": "0s", "COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": pgtest.DSN(t, bookspg.Migrations),
		"REDIS_MEMBERS_FILE": redis.MembersFile, "REDIS_CREDENTIALS_FILE": redis.CredentialsFile,
	})
	s.Await("/ready", http.StatusOK)
	if text := s.Await("/health", http.StatusOK); !strings.Contains(text, `"redis":"ok"`) {
		t.Errorf("health: %s", text)
	}
	const book = `{"title":"T","authors":["A"],"priceCents":1,"currency":"EUR"}`
	if status, text := s.Send(http.MethodPost, "/books", "application/json", strings.NewReader(book)); status != http.StatusCreated {
		t.Errorf("a book was not made: %d %s", status, text)
	}
	// On a machine that is short of processors it may be a round that gets through.
	s.AwaitBody("/metrics", http.StatusOK, func(metrics string) bool {
		return strings.Contains(metrics, `cache_shared_total{op="raise",result="raised"}`)
	})
	s.Stop()
	s.Stopped()
}

func TestABadEnvironmentIsSaidWhole(t *testing.T) {
	err := service.Run(t.Context(), "books", servicetest.Environment(map[string]string{"LISTEN_ADDR": "nowhere", "DB_MAX_CONNS": "0"}), booksservice.Build)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"LISTEN_ADDR", "DB_DSN", "DB_MAX_CONNS", "COORDINATOR_URL"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	env := servicetest.Environment(nil)
	env.Args = []string{"serve"}
	if err := service.Run(t.Context(), "books", env, booksservice.Build); err == nil || !strings.Contains(err.Error(), "takes no arguments") {
		t.Errorf("arguments: %v", err)
	}
}
