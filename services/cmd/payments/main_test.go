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

	"bookstore/services/payments/paymentspg"
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
		"DB_DSN": pgtest.DSN(t, paymentspg.Migrations),
	})
	until(t, base, "/ready", http.StatusOK)
	if text := until(t, base, "/health", http.StatusOK); !strings.Contains(text, `"paymentdb":"ok"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("health: %s", text)
	}
	until(t, base, "/internal/payments/7", http.StatusNotFound)
	const order = "019aaf00-0000-7000-8000-000000000001"
	post(t, base, "authorise/do", `{"payload":{"orderId":"`+order+`","token":"tok_ok","method":"card","amountCents":5,"currency":"EUR"}}`)
	post(t, base, "authorise/undo", "{}")
	if text := until(t, base, "/internal/payments?orderId="+order, http.StatusOK); !strings.Contains(text, `"state":"voided"`) {
		t.Errorf("payments: %s", text)
	}
	metrics := until(t, base, "/metrics", http.StatusOK)
	for _, series := range []string{
		"db_pool_connections", `payments_total{op="void",result="done"} 1`, `step_operations_total{op="undo",result="done",step="authorise"} 1`,
	} {
		if !strings.Contains(metrics, series) {
			t.Errorf("%s is not exported:\n%s", series, metrics)
		}
	}
	stop()
	until(t, base, "/ready", http.StatusServiceUnavailable)
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

// post takes a step of a saga and requires it to be done.
func post(t *testing.T, base, path, body string) {
	t.Helper()
	url := base + "/internal/sagas/019aaf00-0000-4000-8000-00000000000a/steps/" + path
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", path, response.StatusCode, text)
	}
}

func TestTheProvidersTimeIsBounded(t *testing.T) {
	for _, timeout := range []string{"3s", "10s", "-1s"} {
		environment := map[string]string{"DB_DSN": "postgres://127.0.0.1/paymentdb", "PROVIDER_TIMEOUT": timeout}
		err := run(t.Context(), nil, func(name string) string { return environment[name] }, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "PROVIDER_TIMEOUT") {
			t.Errorf("%s: %v", timeout, err)
		}
	}
}
