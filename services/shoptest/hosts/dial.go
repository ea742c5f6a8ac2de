package hosts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// dialTime bounds a connection within one machine.
const dialTime = 2 * time.Second

// Dial connects as a process on the first sound machine would: 127.0.0.1 is that machine's. So whoever is root here comes to the
// agents, which listen there alone.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	all, err := sound(ctx)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, h := range all {
		conn, err := h.dial(ctx, network, address)
		if err == nil {
			return conn, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(problems...)
}

// dial makes the socket in the machine's network namespace, in which it stays.
func (h Host) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread is not unlocked, so it ends with this goroutine: no other gets one in a foreign namespace.
		runtime.LockOSThread()
		var namespace *os.File
		if namespace, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", h.pid)); err != nil {
			return
		}
		defer namespace.Close()
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		// A dialer tries several addresses, or a name's, in goroutines of their own: this is one address.
		conn, err = (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, address)
	}()
	<-done
	if err != nil {
		err = fmt.Errorf("connect to %s in %s: %w", address, h.Name, err)
	}
	return conn, err
}
