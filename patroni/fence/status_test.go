package fence_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bookstore/patroni/fence"
)

// What the fence tells of its member is what Patroni answers, and nothing of the rest.
func TestStatus(t *testing.T) {
	t.Parallel()
	patroni := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/replica" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "what Patroni says of "+r.URL.Path)
	}))
	t.Cleanup(patroni.Close)
	staying := func(context.Context) ([]string, error) { return []string{"patroni-1"}, nil }
	status := httptest.NewServer(fence.Status{Member: fence.Member{URL: patroni.URL, Client: client()}, Staying: staying}.Handler())
	t.Cleanup(status.Close)
	for request, want := range map[string]struct {
		status int
		text   string
	}{
		"GET /metrics":     {http.StatusOK, "what Patroni says of /metrics"},
		"GET /readiness":   {http.StatusOK, ""},
		"GET /primary":     {http.StatusOK, ""},
		"GET /replica":     {http.StatusServiceUnavailable, ""},
		"GET /staying":     {http.StatusOK, "[\"patroni-1\"]"},
		"GET /config":      {http.StatusNotFound, "404 page not found\n"},
		"GET /cluster":     {http.StatusNotFound, "404 page not found\n"},
		"POST /switchover": {http.StatusNotFound, "404 page not found\n"},
		"POST /metrics":    {http.StatusMethodNotAllowed, "Method Not Allowed\n"},
	} {
		method, path, _ := strings.Cut(request, " ")
		req, err := http.NewRequestWithContext(t.Context(), method, status.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != want.status || string(text) != want.text {
			t.Errorf("%s: %d %q, %v", request, answer.StatusCode, text, err)
		}
	}
	patroni.Close()
	answer, err := http.Get(status.URL + "/readiness")
	if err != nil || answer.StatusCode != http.StatusBadGateway {
		t.Errorf("without Patroni: %v, %v", answer, err)
	}
}
