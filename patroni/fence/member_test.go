package fence_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"bookstore/patroni/fence"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		member func(t *testing.T) fence.Member
		want   fence.Answer
	}{
		"it leads":                      {answering(http.StatusOK), fence.Leader},
		"it does not lead":              {answering(http.StatusServiceUnavailable), fence.Standby},
		"nobody listens any more":       {gone, fence.Standby},
		"it takes connections, no more": {silent, fence.None},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patience := 30 * time.Second
			if c.want == fence.None {
				patience = 200 * time.Millisecond
			}
			if got := c.member(t).Probe(t.Context(), patience); got != c.want {
				t.Errorf("answer %d, want %d", got, c.want)
			}
		})
	}
}

func answering(status int) func(*testing.T) fence.Member {
	return func(t *testing.T) fence.Member {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/primary" {
				t.Errorf("requested %s", r.URL.Path)
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		return fence.Member{URL: server.URL, Client: client()}
	}
}

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func gone(t *testing.T) fence.Member {
	listener := listen(t)
	url := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return fence.Member{URL: url, Client: client()}
}

// silent is a member as a stopped process leaves it: the kernel still takes connections.
func silent(t *testing.T) fence.Member {
	listener := listen(t)
	t.Cleanup(func() { listener.Close() })
	return fence.Member{URL: "http://" + listener.Addr().String(), Client: client()}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
