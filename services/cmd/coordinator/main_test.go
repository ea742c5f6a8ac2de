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

	"bookstore/services/coordinator/coordinatorpg"
	"bookstore/services/platform/pg/pgtest"
)

// Fasthttp's goroutines that outlive a server: see platform/lifecycle.
func TestMain(m *testing.M) {
	pgtest.Main(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

// get asks on a connection of its own; status 0 is no answer.
func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(body)
}

func until(t *testing.T, url string, want int) string {
	t.Helper()
	limit, tick := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		status, text := get(t, url)
		if status == want {
			return text
		}
		select {
		case <-limit:
			t.Fatalf("%s: %d %s, want %d", url, status, text, want)
		case <-tick.C:
		}
	}
}

func TestFromStartToDrain(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "300ms", "DB_DSN": pgtest.DSN(t, coordinatorpg.Migrations),
		"BOOKS_URL": "http://127.0.0.1:1", "ORDERS_URL": "http://127.0.0.1:1", "PAYMENTS_URL": "http://127.0.0.1:1",
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
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
	base := "http://" + <-address
	until(t, base+"/ready", http.StatusOK)
	if _, text := get(t, base+"/health"); !strings.Contains(text, `"coordinatordb":"ok"`) {
		t.Errorf("health is %s", text)
	}
	if text := until(t, base+"/transactions", http.StatusOK); text != `{"items":[]}` {
		t.Errorf("transactions are %s", text)
	}
	if _, text := get(t, base+"/metrics"); !strings.Contains(text, "twopc_in_hand") {
		t.Error("the metrics of two-phase commits are missing")
	}
	stop()
	until(t, base+"/ready", http.StatusServiceUnavailable)
	if err := <-result; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestABadEnvironmentIsToldWhole(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), nil, func(string) string { return "" }, io.Discard, io.Discard)
	for _, name := range []string{"DB_DSN", "BOOKS_URL", "ORDERS_URL", "PAYMENTS_URL"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
