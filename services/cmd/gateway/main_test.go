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

	"bookstore/services/platform/redis/redistest"
)

// Fasthttp's goroutines that outlive a server: see platform/lifecycle.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, redistest.LateDials(),
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

func until(t *testing.T, url string, want int) {
	t.Helper()
	limit, tick := time.After(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		status, text := get(t, url)
		if status == want {
			return
		}
		select {
		case <-limit:
			t.Fatalf("%s: %d %s, want %d", url, status, text, want)
		case <-tick.C:
		}
	}
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFromStartToDrain(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"LISTEN_ADDR": "127.0.0.1:0", "DRAIN_DELAY": "300ms",
		"BOOKS_URL": "http://127.0.0.1:1", "ORDERS_URL": "http://127.0.0.1:1", "COORDINATOR_URL": "http://127.0.0.1:1",
		"TOKENS_FILE":         file(t, "tokens", "admin operator secret\n"),
		"REDIS_MEMBERS_FILE":  file(t, "members", redistest.Cluster(t)+"\n"),
		"REDIS_PASSWORD_FILE": file(t, "password", redistest.Password),
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
	status, text := get(t, base+"/health")
	if status != http.StatusOK || !strings.Contains(text, `"redis":"ok"`) || !strings.Contains(text, `"books":"unavailable"`) {
		t.Errorf("health is %d %s", status, text)
	}
	until(t, base+"/books", http.StatusServiceUnavailable)
	until(t, base+"/transactions", http.StatusUnauthorized)
	stop()
	until(t, base+"/ready", http.StatusServiceUnavailable)
	if err := <-result; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestABadEnvironmentIsToldWhole(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"BOOKS_URL": "books:80", "COORDINATOR_URL": "http://127.0.0.1:1"}
	err := run(t.Context(), nil, func(name string) string { return environment[name] }, io.Discard, io.Discard)
	for _, name := range []string{"ORDERS_URL", "address of books"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
