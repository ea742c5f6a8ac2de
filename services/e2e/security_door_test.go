//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

func doorAddress(t *testing.T) string {
	t.Helper()
	address, _ := shoptest.SecureDoor(t)
	return address
}

// trusting verifies the door as a customer does who trusts the shop's CA.
func trusting(t *testing.T) *tls.Config {
	t.Helper()
	_, config := shoptest.SecureDoor(t)
	return config
}

// enter opens a connection to the door by TLS; it must end in a minute and a half.
func enter(t *testing.T, protocol string) *tls.Conn {
	t.Helper()
	settings := trusting(t)
	settings.NextProtos = []string{protocol}
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: settings}).DialContext(t.Context(), "tcp", doorAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		t.Fatal(err)
	}
	secured, _ := conn.(*tls.Conn)
	return secured
}

// counted is what the ingress has counted of this so far.
func counted(ctx context.Context, t *testing.T, name string, labels ...string) (total float64, err error) {
	t.Helper()
	all, err := cluster.MeasuredAt(ctx, t, "ingress", "envoy")
	for _, s := range all {
		total += s.Sum(name, labels...)
	}
	return total, err
}

// seen fails the test unless the ingress counts this while it runs.
func seen(t *testing.T, name string, labels ...string) {
	t.Helper()
	before, err := counted(t.Context(), t, name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if now, err := counted(ctx, t, name, labels...); err != nil || now <= before {
			t.Errorf("%s was %.0f and is %.0f: %v", name, before, now, err)
		}
	})
}

const atHTTPS = `envoy_http_conn_manager_prefix="https"`

// Customers come in by TLS 1.2 or later; the certificate is the shop's, and good for nothing else.
func TestAttackDoorWithOldTLS(t *testing.T) {
	t.Parallel()
	seen(t, "envoy_listener_ssl_connection_error")
	client := http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t), ForceAttemptHTTP2: true}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+doorAddress(t)+"/books?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ProtoMajor != 2 || !strings.HasPrefix(res.Header.Get("Strict-Transport-Security"), "max-age=") || res.Header.Get("Server") != "" {
		t.Errorf("answered %s %v", res.Status, res.Header)
	}
	leaf := res.TLS.PeerCertificates[0]
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || leaf.VerifyHostname("server.global.nomad") == nil || leaf.VerifyHostname("server.dc1.consul") == nil {
		t.Errorf("the certificate is for %v, %v too", leaf.ExtKeyUsage, leaf.DNSNames)
	}

	old := trusting(t)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", doorAddress(t)); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// endsWithin reads a connection until the shop closes it, and says what it was told.
func endsWithin(t *testing.T, conn net.Conn, least, most time.Duration) string {
	t.Helper()
	began := time.Now()
	text, err := io.ReadAll(conn)
	if took := time.Since(began); took < least || took > most || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("closed after %s, not %s to %s: %v", took, least, most, err)
	}
	return string(text)
}

// A head that comes line by line has ten seconds in all.
func TestAttackDoorWithSlowHead(t *testing.T) {
	t.Parallel()
	seen(t, "envoy_http_downstream_rq_header_timeout", atHTTPS)
	conn := enter(t, "http/1.1")
	_, _ = io.WriteString(conn, "GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\n")
	go func() {
		for range 20 { // until the shop has enough
			if _, err := io.WriteString(conn, "X-Slow: yes\r\n"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	if said := endsWithin(t, conn, 8*time.Second, 14*time.Second); !strings.HasPrefix(said, "HTTP/1.1 408") {
		t.Errorf("answered %q", said)
	}
}

// Who does not begin with TLS has ten seconds.
func TestAttackDoorWithSilence(t *testing.T) {
	t.Parallel()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", doorAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	seen(t, "envoy_listener_downstream_cx_transport_socket_connect_timeout")
	endsWithin(t, conn, 8*time.Second, 14*time.Second)
}

// A connection over which nothing comes is closed after a minute.
func TestAttackDoorWithIdleConnection(t *testing.T) {
	t.Parallel()
	seen(t, "envoy_http_downstream_cx_idle_timeout", atHTTPS)
	conn := enter(t, "http/1.1")
	_, _ = io.WriteString(conn, "GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\n\r\n")
	endsWithin(t, conn, 55*time.Second, 70*time.Second)
}

// A body that stops coming is not waited for.
func TestAttackDoorWithSlowBody(t *testing.T) {
	t.Parallel()
	conn := enter(t, "http/1.1")
	_, _ = io.WriteString(conn, "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nIdempotency-Key: slow-body\r\nContent-Length: 60\r\n\r\n{")
	if said := endsWithin(t, conn, 0, 45*time.Second); !strings.HasPrefix(said, "HTTP/1.1 4") {
		t.Errorf("answered %q", said)
	}
}

// Heads that are too large or that are not HTTP/1.1 on the plain door are refused; names that servers read in different
// ways are dropped, and what a client tells Envoy is not heeded.
func TestAttackDoorWithOddHeads(t *testing.T) {
	t.Parallel()
	seen(t, "envoy_http1_dropped_headers_with_underscores")
	for head, want := range map[string]string{
		"GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\nX_Client_Address: 1.2.3.4\r\n\r\n":                                                                                  "200",
		"GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\nX-Large: " + strings.Repeat("x", 33<<10) + "\r\n\r\n":                                                               "431",
		"GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\n" + strings.Repeat("X-Many: x\r\n", 101) + "\r\n":                                                                   "431",
		"GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n":                                                   "400",
		"GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nX-Envoy-Upstream-Rq-Timeout-Ms: 1\r\nX-Envoy-Max-Retries: 9\r\nX-Envoy-Internal: true\r\n\r\n": "200",
		http2.ClientPreface: "4",
	} {
		a, err := http.ReadResponse(bufio.NewReader(raw(t, head)), nil)
		if err != nil {
			if head != http2.ClientPreface { // closing says it too
				t.Errorf("%.80q: %v", head, err)
			}
			continue
		}
		if _ = a.Body.Close(); !strings.HasPrefix(a.Status, want) {
			t.Errorf("%.80q is answered %s, not %s", head, a.Status, want)
		}
	}
}

// One connection has a hundred streams at once. Who opens more all the same, against what the door has told, loses it.
func TestAttackDoorWithManyStreams(t *testing.T) {
	t.Parallel()
	seen(t, "envoy_http_downstream_cx_protocol_error", atHTTPS)
	if limit, served, ended := streams(t, 100); limit != 100 || served != 100 || ended {
		t.Errorf("the door allows %d streams; of 100 it served %d; it ended the connection: %t", limit, served, ended)
	}
	if _, served, ended := streams(t, 101); served > 100 || !ended {
		t.Errorf("of 101 streams %d were served; the connection was ended: %t", served, ended)
	}
}

// streams asks for this many answers at once over one connection: how many the door allows, how many it served, and
// whether it ended the connection.
func streams(t *testing.T, count int) (limit uint32, served int, ended bool) {
	t.Helper()
	conn := enter(t, "h2")
	framer := http2.NewFramer(conn, conn)
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = framer.WriteSettings()
	for served < count {
		frame, err := framer.ReadFrame()
		if err != nil {
			return limit, served, true
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			limit, _ = f.Value(http2.SettingMaxConcurrentStreams)
			_ = framer.WriteSettingsAck()
			if _, err := conn.Write(requests(count)); err != nil {
				t.Fatal(err)
			}
		case *http2.GoAwayFrame:
			return limit, served, true
		default:
			if frame.Header().Flags.Has(http2.FlagDataEndStream) && frame.Header().StreamID != 0 {
				served++
			}
		}
	}
	return limit, served, false
}

// requests are the frames of this many reads, to be sent at once.
func requests(count int) []byte {
	var together, head bytes.Buffer
	framer, encoder := http2.NewFramer(&together, nil), hpack.NewEncoder(&head)
	for n := range count {
		head.Reset()
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "shop"}, {":path", "/books?limit=1"}} {
			_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // to memory
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
	}
	return together.Bytes()
}

// Envoy's own administration answers nobody outside of the ingress' network.
func TestAttackDoorForItsAdministration(t *testing.T) {
	t.Parallel()
	for _, port := range []string{"19000", "19001", "19100", "8081"} {
		requireRefused(t, net.JoinHostPort(instanceAddress(t), port))
	}
}

// crowd opens this many connections by TLS from an address, of which some may be refused.
func crowd(t *testing.T, from, to string, count int) (open []net.Conn, refused int) {
	t.Helper()
	dialer := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}, Config: trusting(t)}
	for range count {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		conn, err := dialer.DialContext(ctx, "tcp", to)
		cancel()
		if err != nil {
			refused++
			continue
		}
		open = append(open, conn)
	}
	return open, refused
}

func leave(open []net.Conn) {
	for _, conn := range open {
		_ = conn.Close()
	}
}

// One address has 256 connections at once; what it asks for beyond costs the ingress nothing.
func TestAttackDoorFromOneAddress(t *testing.T) {
	before := dropped(t)
	open, refused := crowd(t, "127.0.0.1", doorAddress(t), 400)
	defer leave(open)
	if len(open) > 256 || len(open) < 200 || refused < 144 {
		t.Errorf("of 400 connections %d were opened and %d refused", len(open), refused)
	}
	if now := dropped(t); now < before+144 {
		t.Errorf("the firewall counted %d refusals, then %d", before, now)
	}
	if a := shoptest.Shop(t).Do(t, shoptest.Call{Method: "GET", Path: "/books?limit=1"}); a.Status != http.StatusOK {
		t.Errorf("meanwhile others are answered %v", a)
	}
}

// dropped is how many connections the firewall has refused at the door.
func dropped(t *testing.T) (packets int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "iptables", "-nvxL", "BOOKSTORE-DOOR").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		var count int
		if _, err := fmt.Sscan(line, &count); err == nil {
			packets += count
		}
	}
	return packets
}

// Ten thousand connections from forty addresses: the ingress keeps what it has room for, its memory stays bounded, and
// who comes meanwhile is served.
func TestAttackDoorWithTenThousandConnections(t *testing.T) {
	const addresses, each = 40, 250
	seen(t, "envoy_listener_downstream_cx_overflow")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < addresses*each+1000 {
		t.Fatalf("this process may open %d files: %v", limit.Cur, err)
	}
	inside := instanceAddress(t)
	most, failed := 0, 0
	c := shoptest.Shop(t)
	var open []net.Conn
	defer func() { leave(open) }()
	for n := range addresses {
		from := fmt.Sprintf("198.18.0.%d", n+1) // addresses of benchmarks (RFC 2544)
		ip(t, from)
		more, _ := crowd(t, from, net.JoinHostPort(inside, "8443"), each)
		open = append(open, more...)
		if a := c.Do(t, shoptest.Call{Method: "GET", Path: "/books?limit=1"}); a.Status != http.StatusOK {
			failed++
		}
		most = max(most, ingressMemory(t))
	}
	t.Logf("%d of %d connections were let in; the ingress had %d MiB at most", len(open), addresses*each, most)
	if failed > 0 || most > 300 || len(open) > 4096 {
		t.Errorf("%d of %d others failed", failed, addresses)
	}
	leave(open)
	conn := enter(t, "http/1.1")
	_, _ = io.WriteString(conn, "GET /books?limit=1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
	if said := endsWithin(t, conn, 0, 10*time.Second); !strings.HasPrefix(said, "HTTP/1.1 200") {
		t.Errorf("afterwards a customer is answered %q", said)
	}
}

// ingressMemory is what the ingress' Envoy has in memory, in MiB.
func ingressMemory(t *testing.T) (mib int) {
	t.Helper()
	container := cluster.Container("connect-ingress-ingress", cluster.Running(t, "ingress")[0].ID)
	pid, err := exec.CommandContext(t.Context(), "docker", "inspect", "--format", "{{.State.Pid}}", container).Output()
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rss, &mib); err != nil {
		t.Fatal(err)
	}
	return mib >> 10
}

// ip gives this machine an address for the time of a test.
func ip(t *testing.T, address string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "address", "add", address+"/32", "dev", "lo").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		_ = exec.CommandContext(context.WithoutCancel(t.Context()), "ip", "address", "del", address+"/32", "dev", "lo").Run()
	})
}

// instanceAddress is where the ingress is in its own network, to which other addresses than 127.0.0.1 find a way.
func instanceAddress(t *testing.T) string {
	t.Helper()
	running := cluster.Running(t, "ingress")
	if len(running) == 0 {
		t.Fatal("no instance of the ingress runs")
	}
	alloc, _, err := cluster.Nomad(t).Allocations().Info(running[0].ID, nil)
	if err != nil || alloc.NetworkStatus == nil {
		t.Fatalf("the ingress' network: %v", err)
	}
	return alloc.NetworkStatus.Address
}
