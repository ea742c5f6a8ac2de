package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"bookstore/services/gateway/limit"
	"bookstore/services/platform/wait/waittest"
)

// listen serves the shop on a port of its own: streams need a network. stop
// shuts it down as a service does.
func (s *shop) listen(t *testing.T) (base string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.app.Listener(listener) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err := s.app.ShutdownWithContext(ctx)
		<-ended
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return "http://" + listener.Addr().String(), stop
}

// live is an upstream whose stream sends the given events until its reader disconnects.
type live struct {
	events chan string
	gone   chan struct{}
}

func newLive() *live { return &live{make(chan string), make(chan struct{})} }

func (l *live) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	_ = flush()
	for {
		select {
		case text, more := <-l.events:
			if !more {
				return
			}
			_, _ = fmt.Fprintf(w, "data: %s %s\n\n", text, r.Header.Get("Last-Event-Id"))
			_ = flush()
		case <-r.Context().Done():
			close(l.gone)
			return
		}
	}
}

// watch opens the stream; leave closes the client's side.
func watch(t *testing.T, base string) (response *http.Response, lines *bufio.Scanner, leave func()) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/checkouts/0190/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Last-Event-ID", "7")
	r.Header.Set("X-Request-Timeout-Ms", "200") // of the beginning, not of the stream
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	response, err = transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response, bufio.NewScanner(response.Body), leave
}

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatalf("not within 5 s: %s", what)
	}
}

func TestStreamsArePassedOnAsTheyCome(t *testing.T) {
	upstream := newLive()
	base, _ := open(t, options{upstream: upstream.serve}).listen(t)
	response, lines, _ := watch(t, base)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" ||
		response.Header.Get("Cache-Control") != "no-store" || response.Header.Get("X-Request-Id") == "" {
		t.Errorf("began with %d %v", response.StatusCode, response.Header)
	}
	for _, text := range []string{"one", "two"} {
		upstream.events <- text // the client has it before anything more is said
		if lines.Scan(); lines.Text() != "data: "+text+" 7" {
			t.Errorf("got %q", lines.Text())
		}
		lines.Scan()
	}
	// Nothing is said for longer than the answer was to begin in.
	quiet := time.NewTimer(400 * time.Millisecond)
	defer quiet.Stop()
	<-quiet.C
	upstream.events <- "three"
	if lines.Scan(); lines.Text() != "data: three 7" {
		t.Errorf("after a while: %q, %v", lines.Text(), lines.Err())
	}
	lines.Scan()
	close(upstream.events)
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("after the end: %q, %v", lines.Text(), lines.Err())
	}
}

func TestAServiceHearsThatTheClientOfAStreamIsGone(t *testing.T) {
	upstream := newLive()
	base, _ := open(t, options{upstream: upstream.serve}).listen(t)
	_, _, leave := watch(t, base)
	leave()
	within(t, "the upstream's request is cancelled", upstream.gone)
}

func TestStreamsDoNotHoldTheGatewayUp(t *testing.T) {
	upstream := newLive()
	base, stop := open(t, options{upstream: upstream.serve}).listen(t)
	_, lines, _ := watch(t, base)
	start := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("stopped after %v", took)
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("the client saw %q, %v, and no end", lines.Text(), lines.Err())
	}
	within(t, "the upstream's request is cancelled", upstream.gone)
}

func TestAStreamHasToBegin(t *testing.T) {
	release := make(chan struct{})
	s := open(t, options{upstream: func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}})
	defer close(release)
	a := s.do(t, "GET", "/checkouts/0190/events", "", "X-Request-Timeout-Ms", "100", "Accept", "text/event-stream")
	a.want(t, http.StatusGatewayTimeout, "deadline_exceeded")
}

func TestAStreamIsRefusedWhileItsCircuitIsOpen(t *testing.T) {
	s := open(t, options{upstream: plainly(http.StatusServiceUnavailable)})
	for range 3 {
		s.do(t, "GET", "/checkouts/0190", "").want(t, http.StatusServiceUnavailable, "unavailable")
	}
	s.do(t, "GET", "/checkouts/0190/events", "").want(t, http.StatusServiceUnavailable, "circuit_open")
}

func TestStreamsAreForThoseWhoTakeThem(t *testing.T) {
	s := open(t, options{})
	for accept, want := range map[string]int{"": 200, "*/*": 200, "text/event-stream": 200, "application/json": 406} {
		if a := s.do(t, "GET", "/checkouts/0190/events", "", "Accept", accept); a.StatusCode != want {
			t.Errorf("Accept %q: got %d, want %d", accept, a.StatusCode, want)
		}
	}
	s.do(t, "GET", "/checkouts/0190", "", "Accept", "text/event-stream").want(t, http.StatusNotAcceptable, "not_acceptable")
	a := s.do(t, "HEAD", "/checkouts/0190/events", "")
	if a.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("HEAD was answered %d", a.StatusCode)
	}
}

// A stream counts until it is closed: a client gets four, whatever it does, others
// get theirs, and closing one makes room.
func TestAClientHasFourStreams(t *testing.T) {
	upstream := newLive()
	base, _ := open(t, options{upstream: upstream.hold, limits: limit.Limits{Rate: 1e6, Burst: 1e6, InFlight: 64}}).listen(t)
	opened := func(who string) (status int, leave func()) {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		t.Cleanup(leave)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/checkouts/0190/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Client-Address", who)
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		return response.StatusCode, leave
	}
	got := map[int]int{}
	var leaves []func()
	for range 128 {
		status, leave := opened("192.0.2.1")
		if got[status]++; status == http.StatusOK {
			leaves = append(leaves, leave)
		}
	}
	if got[http.StatusOK] != 4 || got[http.StatusTooManyRequests] != 124 {
		t.Errorf("of 128 there were answered %v", got)
	}
	for range 4 {
		if status, _ := opened("192.0.2.2"); status != http.StatusOK {
			t.Errorf("another client was answered %d", status)
		}
	}
	leaves[0]()
	waittest.Eventually(t, "there is room after a stream was closed", func() bool {
		status, _ := opened("192.0.2.1")
		return status == http.StatusOK
	})
}

// hold is a stream that says nothing.
func (l *live) hold(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}
