// Package webhook is a receiver of alerts for tests: it keeps what Alertmanager tells it.
package webhook

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Notification is what Alertmanager posts (version 4 of its format), as far as tests look at it: a group of alerts.
type Notification struct {
	Status      string            `json:"status"` // firing or resolved
	GroupLabels map[string]string `json:"groupLabels"`
	Alerts      []Alert           `json:"alerts"`
}

// Alert is one of a notification's.
type Alert struct {
	Status      string            `json:"status"` // firing or resolved
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Name is the name of the rule.
func (a Alert) Name() string { return a.Labels["alertname"] }

// Receiver keeps the last thousand notifications.
type Receiver struct {
	URL string

	mu   sync.Mutex
	told []Notification
}

// kept is how many notifications a receiver has at most, and bytes how long one may be.
const (
	kept  = 1000
	bytes = 1 << 20
)

// Listen starts a receiver at an address, 127.0.0.1:0 for a free port, until the test ends.
func Listen(t testing.TB, address string) *Receiver {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &Receiver{URL: "http://" + listener.Addr().String() + "/"}
	server := &http.Server{Handler: r, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // it ends when it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return r
}

// ServeHTTP takes a notification.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var n Notification
	if err := json.NewDecoder(io.LimitReader(req.Body, bytes)).Decode(&n); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, n)
	r.told = r.told[max(0, len(r.told)-kept):]
}

// Told is what was received, the oldest first.
func (r *Receiver) Told() []Notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// Last is the newest status that was told of a rule's alerts that have these labels: nothing where none was told.
func (r *Receiver) Last(rule string, labels map[string]string) (last Alert, ok bool) {
	for _, n := range r.Told() {
		for _, a := range n.Alerts {
			if a.Name() == rule && has(a.Labels, labels) {
				last, ok = a, true
			}
		}
	}
	return last, ok
}

func has(all, some map[string]string) bool {
	for name, value := range some {
		if all[name] != value {
			return false
		}
	}
	return true
}
