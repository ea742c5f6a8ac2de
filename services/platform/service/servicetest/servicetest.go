// Package servicetest runs a whole server in a test: its settings, wiring, start and stop, on a free port.
package servicetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"bookstore/services/platform/program"
	"bookstore/services/platform/service"
	"bookstore/services/platform/wait/waittest"
)

// Environment is an Env with these variables and no streams.
func Environment(variables map[string]string) program.Env {
	return program.Env{Getenv: func(name string) string { return variables[name] }, Stdout: io.Discard, Stderr: io.Discard}
}

// Server is a server that runs.
type Server struct {
	URL string

	t    testing.TB
	stop context.CancelFunc
	done chan error
}

// Start runs a server with these variables, on a free port of 127.0.0.1, until Stop or the end of the test.
func Start[S service.Settings](t testing.TB, name string, build service.Build[S], variables map[string]string) *Server {
	t.Helper()
	variables["LISTEN_ADDR"] = "127.0.0.1:0"
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	env := Environment(variables)
	logged, log := io.Pipe()
	env.Stdout = log
	s := &Server{t: t, stop: stop, done: make(chan error, 1)}
	go func() {
		err := service.Run(ctx, name, env, build)
		_ = log.Close()
		s.done <- err
	}()
	address := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(logged); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				address <- line.Addr
			}
		}
	}()
	select {
	case a := <-address:
		s.URL = "http://" + a
		return s
	case err := <-s.done:
		t.Fatalf("%s ended at once: %v", name, err)
		return nil
	}
}

// Send makes a request on a connection of its own. Status 0 means no answer, and body is then why.
func (s *Server) Send(method, path, contentType string, body io.Reader) (status int, answer string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// Await gets path until it is answered with status want, and returns that answer's body.
func (s *Server) Await(path string, want int) string {
	s.t.Helper()
	return s.AwaitBody(path, want, func(string) bool { return true })
}

// AwaitBody is Await that also requires of the body what fits says.
func (s *Server) AwaitBody(path string, want int, fits func(body string) bool) string {
	s.t.Helper()
	var answer string
	waittest.EventuallyNil(s.t, path, func(context.Context) error {
		status, body := s.Send(http.MethodGet, path, "", http.NoBody)
		if status != want || !fits(body) {
			return fmt.Errorf("%d %s, want %d", status, body, want)
		}
		answer = body
		return nil
	})
	return answer
}

// Stop tells the server to stop and returns at once.
func (s *Server) Stop() { s.stop() }

// Stopped waits for the server's end and requires it to be an orderly one.
func (s *Server) Stopped() {
	s.t.Helper()
	if err := <-s.done; err != nil {
		s.t.Errorf("stopped with %v", err)
	}
}
