package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// hop stands between two processes and passes requests and answers on as wholes.
type hop struct {
	link

	upstream  string // host:port of the receiver
	hold      func(message, phase) bool
	transport *http.Transport
}

// newHop listens until the test ends; address is where the sender finds the receiver.
func newHop(t testing.TB, l link, upstream string, hold func(message, phase) bool) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// A connection for each request: a transport that finds an old one broken may send twice.
	h := &hop{link: l, upstream: upstream, hold: hold, transport: &http.Transport{DisableKeepAlives: true}}
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() { _ = server.Serve(listener); close(served) }()
	t.Cleanup(func() { server.Close(); <-served })
	return listener.Addr().String()
}

func (h *hop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the sender is gone
	}
	m := message{link: h.link, text: r.Method + " " + nameless(r.URL.Path), content: append([]byte(r.URL.Path+"\n"), body...)}
	if !h.hold(m, before) {
		panic(http.ErrAbortHandler)
	}
	status, header, answer, err := h.forward(r, body)
	if err != nil {
		panic(http.ErrAbortHandler) // the receiver is gone: so is the connection to it
	}
	m.content = append(m.content, answer...)
	if !h.hold(m, after) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// forward goes on when the sender is gone: the request has left it.
func (h *hop) forward(r *http.Request, body []byte) (status int, header http.Header, answer []byte, err error) {
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.URL.Scheme, out.URL.Host = "http", h.upstream
	out.Host, out.RequestURI = "", ""
	out.Body = io.NopCloser(bytes.NewReader(body))
	res, err := h.transport.RoundTrip(out)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, res.Header, answer, err
}

func TestHopLosesRequestsAndAnswers(t *testing.T) {
	t.Parallel()
	var served []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		served = append(served, r.URL.RequestURI()+" "+string(body))
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "tea")
	}))
	t.Cleanup(server.Close)
	for losing, want := range map[string]string{"": "418 yes tea", "POST /a/<id> before": "lost", "POST /a/<id> after": "lost"} {
		served = nil
		n := &notes{losing: losing}
		url := "http://" + newHop(t, link{"one", "other"}, strings.TrimPrefix(server.URL, "http://"), n.hold) + "/a/0123456789abcdef0123456789abcdef?b=c"
		got := "lost"
		if response, err := http.Post(url, "text/plain", strings.NewReader("body")); err == nil {
			text, _ := io.ReadAll(response.Body)
			response.Body.Close()
			got = fmt.Sprintf("%d %s %s", response.StatusCode, response.Header.Get("X-Answer"), text)
		}
		if got != want {
			t.Errorf("losing %q: %q, want %q", losing, got, want)
		}
		if came := len(served) == 1; came == strings.HasSuffix(losing, "before") || (came && served[0] != "/a/0123456789abcdef0123456789abcdef?b=c body") {
			t.Errorf("losing %q: served %q", losing, served)
		}
	}
}
