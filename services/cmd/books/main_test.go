package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/books/bookspg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/redis/redistest"
)

// Fasthttp's goroutines that outlive a server: see platform/lifecycle.
func TestMain(m *testing.M) {
	pgtest.Main(m, redistest.LateDials(),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// start runs the service on a free port and returns its address, how to stop
// it, and what run returned then.
func start(t *testing.T, environment map[string]string) (base string, stop func(), done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	reader, writer := io.Pipe()
	result := make(chan error, 1)
	go func() {
		err := run(ctx, nil, func(name string) string { return environment[name] }, writer, io.Discard)
		_ = writer.Close()
		result <- err
	}()
	address := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				address <- line.Addr
			}
		}
	}()
	select {
	case a := <-address:
		return "http://" + a, cancel, result
	case err := <-result:
		t.Fatalf("ended at once: %v", err)
		return "", nil, nil
	}
}

// status asks on a connection of its own; 0 is no answer.
func status(base, path string) (int, string) {
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Get(base + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// until polls for a status and returns the body that came with it.
func until(t *testing.T, base, path string, want int) string {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, text := status(base, path)
		if got == want {
			return text
		}
		select {
		case <-limit.C:
			t.Fatalf("%s: still %d %s, want %d", path, got, text, want)
		case <-tick.C:
		}
	}
}

func TestServesUntilToldToStop(t *testing.T) {
	base, stop, done := start(t, map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "3s", "VERSION": "1.2.3",
		"COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": pgtest.DSN(t, bookspg.Migrations),
	})
	until(t, base, "/ready", http.StatusOK)
	if text := until(t, base, "/health", http.StatusOK); !strings.Contains(text, `"bookdb":"ok"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("health: %s", text)
	}
	if text := until(t, base, "/books", http.StatusOK); text != `{"items":[]}` {
		t.Errorf("books: %s", text)
	}
	until(t, base, "/books/1", http.StatusNotFound)
	metrics := until(t, base, "/metrics", http.StatusOK)
	for _, name := range []string{"http_requests_total", "go_goroutines", "service_info", "branches_prepared_oldest_seconds"} {
		if !strings.Contains(metrics, name) {
			t.Errorf("%s is not exported", name)
		}
	}
	stop()
	until(t, base, "/ready", http.StatusServiceUnavailable)
	until(t, base, "/books", http.StatusOK)
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestWaitsForADatabaseThatIsNotThereYet(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	dsn := server.DSN(t, bookspg.Migrations)
	server.Stop(t)
	base, stop, done := start(t, map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "0s", "COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": dsn,
	})
	until(t, base, "/ready", http.StatusServiceUnavailable)
	if text := until(t, base, "/health", http.StatusOK); !strings.Contains(text, `"degraded"`) {
		t.Errorf("health: %s", text)
	}
	server.Restart(t)
	until(t, base, "/ready", http.StatusOK)
	server.Kill(t)
	until(t, base, "/books", http.StatusServiceUnavailable)
	until(t, base, "/ready", http.StatusOK) // the database being away is no reason to send requests elsewhere
	server.Restart(t)
	until(t, base, "/books", http.StatusOK)
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestAnnouncesWhatChanges(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"members": redistest.Cluster(t) + "\n", "password": redistest.Password}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base, stop, done := start(t, map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "0s", "COORDINATOR_URL": "http://127.0.0.1:1",
		"DB_DSN":             pgtest.DSN(t, bookspg.Migrations),
		"REDIS_MEMBERS_FILE": filepath.Join(dir, "members"), "REDIS_PASSWORD_FILE": filepath.Join(dir, "password"),
	})
	until(t, base, "/ready", http.StatusOK)
	if text := until(t, base, "/health", http.StatusOK); !strings.Contains(text, `"redis":"ok"`) {
		t.Errorf("health: %s", text)
	}
	const book = `{"title":"T","authors":["A"],"priceCents":1,"currency":"EUR"}`
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Post(base+"/books", "application/json", strings.NewReader(book))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Errorf("a book was not made: %d", response.StatusCode)
	}
	// On a machine that is short of processors it may be a round that gets through.
	const raised = `cache_shared_total{op="raise",result="raised"}`
	for begin := time.Now(); !strings.Contains(until(t, base, "/metrics", http.StatusOK), raised); {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("no %s", raised)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestABadEnvironmentIsSaidWhole(t *testing.T) {
	err := run(context.Background(), nil, func(name string) string {
		return map[string]string{"LISTEN_ADDR": "nowhere", "DB_MAX_CONNS": "0"}[name]
	}, io.Discard, io.Discard)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"LISTEN_ADDR", "DB_DSN", "DB_MAX_CONNS", "COORDINATOR_URL"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	if err := run(context.Background(), []string{"serve"}, nil, io.Discard, io.Discard); err == nil {
		t.Error("arguments accepted")
	}
}
