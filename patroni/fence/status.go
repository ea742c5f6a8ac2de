package fence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Status tells how the member is to who cannot ask Patroni, which answers members alone: Consul's agent, which checks
// it, and Prometheus, which collects its metrics. The member itself asks which members Nomad means to keep, before it hands
// over (hand_over.py). It tells that much and no more.
type Status struct {
	Member  Member
	Staying func(ctx context.Context) ([]string, error)
	Address string // host:port to listen on
}

// Bounds of what Status does.
const (
	statusAtOnce   = 4
	statusPatience = 4 * time.Second
	statusMost     = 1 << 20 // bytes of metrics
)

// Serve answers until ctx ends.
func (s Status) Serve(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("tell how the member is: %w", err)
	}
	server := &http.Server{
		Handler: s.Handler(), ReadTimeout: statusPatience, WriteTimeout: 2 * statusPatience, IdleTimeout: time.Minute, MaxHeaderBytes: 4 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // who asks now asks again
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("tell how the member is: %w", err)
	}
	return nil
}

// Handler answers some requests as Patroni does: all with its status, and those for metrics with its words. That for /staying it
// answers with the members' names.
func (s Status) Handler() http.Handler {
	mux := http.NewServeMux()
	slots := make(chan struct{}, statusAtOnce)
	answer := func(path string, with func(http.ResponseWriter, *http.Request)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				with(w, r)
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
	}
	for _, path := range []string{"/readiness", "/primary", "/replica", "/metrics"} {
		answer(path, func(w http.ResponseWriter, r *http.Request) { s.pass(w, r, path) })
	}
	answer("/staying", s.staying)
	return mux
}

func (s Status) staying(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statusPatience)
	defer cancel()
	var text []byte
	names, err := s.Staying(ctx)
	if err == nil {
		text, err = json.Marshal(names)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // who asks sees that it is cut short
}

func (s Status) pass(w http.ResponseWriter, r *http.Request, path string) {
	ctx, cancel := context.WithTimeout(r.Context(), statusPatience)
	defer cancel()
	answer, err := s.Member.open(ctx, path)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	if path != "/metrics" {
		w.WriteHeader(answer.StatusCode)
		return
	}
	w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(answer.Body, statusMost)) // who asks sees that it is cut short
}
