// Command faulty registers as an instance of books and fails on command. The
// end-to-end tests place it beside a true one, to see what the mesh and the
// gateway make of it.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"sync/atomic"
	"time"
)

// slowness is what an answer takes where it is to be slow.
const slowness = 2 * time.Second

// faulty answers every call as its mode says.
type faulty struct {
	mode  atomic.Value // string: well, 503, hang or slow
	calls atomic.Int64 // without those for its readiness and those to its control port
}

func main() {
	f := &faulty{}
	f.mode.Store("well")
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: f, ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

// ServeHTTP is ready in every mode, as an instance is whose fault no
// check finds. GET /control?mode= sets the mode, and answers how many calls came so far.
func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ready":
		answer(w, http.StatusOK, map[string]any{"status": "ready"})
	case "/control":
		if mode := r.URL.Query().Get("mode"); mode != "" {
			f.mode.Store(mode)
		}
		answer(w, http.StatusOK, f.calls.Load())
	default:
		f.calls.Add(1)
		f.serve(w, r)
	}
}

func (f *faulty) serve(w http.ResponseWriter, r *http.Request) {
	switch f.mode.Load() {
	case "503":
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, map[string]any{
			"type": "urn:bookstore:problem:unavailable", "title": "Unavailable", "status": http.StatusServiceUnavailable,
			"detail": "on command", "code": "unavailable", "requestId": r.Header.Get("X-Request-Id"),
		})
		return
	case "hang":
		<-r.Context().Done()
		return
	case "slow":
		select {
		case <-time.After(slowness):
		case <-r.Context().Done():
			return
		}
	}
	var id int64
	if _, err := fmt.Sscanf(r.URL.Path, "/books/%d/availability", &id); err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	answer(w, http.StatusOK, map[string]any{"bookId": id, "available": 1, "inStock": true})
}

func answer(w http.ResponseWriter, status int, body any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Printf("answer: %v", err)
	}
}
