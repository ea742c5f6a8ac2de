//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// streamFor is longer than what the mesh ends otherwise: after 15 s an answer, after a minute a
// connection without traffic.
const streamFor = 65 * time.Second

// The stream of a checkout that waits for its approval has the approval a minute later, and until then a heartbeat
// every ten seconds.
func TestEventStreamsOutliveAMinute(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, job := range []string{"gateway", "coordinator"} {
		cluster.WaitDeployed(t, job) // the old instances end their streams
	}
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Long awaited", 3)
	_, path := c.Begin(t, shoptest.StartCheckout("waiting", uuid.NewString(), "tok_ok", true, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
	c.Await(t, path, "waiting_approval")
	ctx, cancel := context.WithTimeout(t.Context(), 2*streamFor)
	defer cancel()
	began := time.Now()
	lines := stream(ctx, t, c, path+"/events")

	wait, signs := time.After(streamFor), 0
	for approved := false; ; {
		select {
		case <-wait:
			c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/approve"}, nil)
			approved = true
		case line, more := <-lines:
			switch {
			case !more:
				t.Fatalf("the stream ended after %.1f s, approved: %t", time.Since(began).Seconds(), approved)
			case strings.HasPrefix(line, ":"):
				signs++
			case strings.Contains(line, `"state":"completed"`):
				if !approved || signs < int(streamFor/(15*time.Second)) {
					t.Errorf("completed, approved: %t, after %d signs of life", approved, signs)
				}
				t.Logf("the stream lasted %.1f s with %d signs of life", time.Since(began).Seconds(), signs)
				return
			}
		}
	}
}

// stream is what comes on a stream of events, line by line, until it ends.
func stream(ctx context.Context, t *testing.T, c *shoptest.Client, path string) <-chan string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "text/event-stream")
	res, err := (&http.Client{Transport: c.HTTP.Transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d", path, res.StatusCode)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		defer res.Body.Close()
		for text := bufio.NewScanner(res.Body); text.Scan(); {
			select {
			case lines <- text.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
