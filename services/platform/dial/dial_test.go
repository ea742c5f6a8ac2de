package dial_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/dial/blackhole"
)

// echo is the address of a server that returns what it receives.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// What was sent to a host that vanished fails the connection, without a
// deadline on it: by the system's own rules that would take about 15 minutes.
func TestAConnectionToAHostThatVanishedFails(t *testing.T) {
	t.Parallel()
	peer := blackhole.New(t, echo(t))
	conn, err := dial.Dialer(time.Second).DialContext(t.Context(), "tcp", peer.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := []byte("said")
	if _, err := conn.Write(say); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, say); err != nil {
		t.Fatal(err)
	}
	peer.Vanish(t)
	began := time.Now()
	if _, err := conn.Write(say); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Read(say)
		failed <- err
	}()
	select {
	case err := <-failed:
		if !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("failed with %v", err)
		}
		t.Logf("failed after %s", time.Since(began))
	case <-time.After(dial.Unacknowledged + 5*time.Second):
		t.Errorf("still waits for an answer after %s", time.Since(began))
	}
}

func TestAHostThatVanishedTakesNoConnection(t *testing.T) {
	t.Parallel()
	peer := blackhole.New(t, echo(t))
	peer.Vanish(t)
	began := time.Now()
	conn, err := dial.Dialer(200*time.Millisecond).DialContext(t.Context(), "tcp", peer.Addr())
	if err == nil {
		conn.Close()
		t.Fatal("connected")
	}
	if took := time.Since(began); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("failed after %s: %v", took, err)
	}
}
