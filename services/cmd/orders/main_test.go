package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/orders/orderspg"
	"bookstore/services/platform/pg/pgtest"
)

// Fasthttp's goroutines that outlive a server: see platform/lifecycle.
func TestMain(m *testing.M) {
	pgtest.Main(m,
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
		"LISTEN_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "500ms", "VERSION": "1.2.3",
		"COORDINATOR_URL": "http://127.0.0.1:1", "DB_DSN": pgtest.DSN(t, orderspg.Migrations),
	})
	until(t, base, "/ready", http.StatusOK)
	if text := until(t, base, "/health", http.StatusOK); !strings.Contains(text, `"orderdb":"ok"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("health: %s", text)
	}
	if text := until(t, base, "/orders", http.StatusOK); text != `{"items":[]}` {
		t.Errorf("orders: %s", text)
	}
	until(t, base, "/orders/7", http.StatusNotFound)
	if metrics := until(t, base, "/metrics", http.StatusOK); !strings.Contains(metrics, "db_pool_connections") {
		t.Errorf("the pool is not exported:\n%s", metrics)
	}
	stop()
	until(t, base, "/ready", http.StatusServiceUnavailable)
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}
