// Package blackhole gives tests a peer that vanishes as a host does that loses
// its power: no packet is answered from then on, not even by its kernel, and
// none tells that the peer is gone.
package blackhole

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Proxy forwards connections to a server until it vanishes.
type Proxy struct {
	listener *net.TCPListener
	target   string
	vanished atomic.Bool

	mu    sync.Mutex
	ended bool
	conns []net.Conn
	work  sync.WaitGroup
}

// New starts a proxy to the server at target. It ends with the test.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets take no filter
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		t.Fatalf("%T is not a TCP listener", listener)
	}
	p := &Proxy{listener: tcp, target: target}
	p.work.Go(p.accept)
	t.Cleanup(p.end)
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Vanish has the kernel drop every packet that comes for the proxy: what was
// sent is never acknowledged, and no new connection is answered. What the
// server still says reaches nobody.
func (p *Proxy) Vanish(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vanished.Store(true)
	if err := drop(p.listener); err != nil {
		t.Fatal(err)
	}
	for _, conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok && tcp.LocalAddr().String() == p.Addr() {
			if err := drop(tcp); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// drop attaches a filter that lets no packet in.
func drop(socket syscall.Conn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // keep 0 bytes
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: 1, Filter: &nothing[0]})
	}); err != nil {
		return err
	}
	return failed
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.work.Go(func() { p.forward(server, client) })
		p.work.Go(func() { p.forward(client, server) })
	}
}

// keep notes connections to be closed at the end; false when that has come.
func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		for _, conn := range conns {
			_ = conn.Close()
		}
		return false
	}
	p.conns = append(p.conns, conns...)
	return true
}

// forward copies what from says to to. Once the proxy has vanished, nobody
// hears what is said, nor that a connection ended.
func (p *Proxy) forward(to, from net.Conn) {
	_, _ = io.Copy(writer{p, to}, from)
	if !p.vanished.Load() {
		_ = to.Close()
	}
}

type writer struct {
	proxy *Proxy
	to    net.Conn
}

func (w writer) Write(b []byte) (int, error) {
	if w.proxy.vanished.Load() {
		return len(b), nil
	}
	return w.to.Write(b)
}

func (p *Proxy) end() {
	p.mu.Lock()
	p.ended = true
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	_ = p.listener.Close()
	p.work.Wait()
}
