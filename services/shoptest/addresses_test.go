package shoptest

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestNextAddress: a client goes on to the next address where one is silent or takes no connection, and keeps to the one that
// answers; what must not be made twice is not.
func TestNextAddress(t *testing.T) {
	t.Parallel()
	var silent, answered atomic.Int32
	ended := make(chan struct{})
	mute := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { silent.Add(1); <-ended }))
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answered.Add(1) }))
	gone := httptest.NewServer(nil)
	gone.Close()
	t.Cleanup(func() { close(ended); mute.Close(); good.Close() })
	client := func() *Client {
		return &Client{Base: mute.URL, next: []string{gone.URL, good.URL}, HTTP: &http.Client{Timeout: 5 * time.Second}}
	}

	c, began := client(), time.Now()
	for range 3 {
		if a, err := c.Try(t.Context(), Call{Method: http.MethodGet, Path: "/"}); err != nil || a.Status != http.StatusOK {
			t.Fatal(a, err)
		}
	}
	if took := time.Since(began); took > 2*time.Second || silent.Load() != 1 || answered.Load() != 3 {
		t.Errorf("three reads took %s; %d were sent to the silent address, %d answered", took, silent.Load(), answered.Load())
	}
	c = client()
	c.HTTP.Timeout = time.Second
	if a, err := c.Try(t.Context(), Call{Method: http.MethodPost, Path: "/"}); err == nil {
		t.Errorf("a call that must not be made twice was answered: %v", a)
	}
	if a, err := c.Try(t.Context(), Call{Method: http.MethodPost, Path: "/", Header: map[string]string{"Idempotency-Key": "k"}}); err != nil {
		t.Errorf("a call under a key: %v %v", a, err)
	}
}
