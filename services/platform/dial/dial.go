// Package dial makes TCP connections that end when their peer is silent. A host
// that loses its power or its network sends no packet: without a bound, the
// kernel repeats what it sent for about 15 minutes before it fails the socket.
package dial

import (
	"net"
	"time"
)

// Unacknowledged is how long data that was sent, or a keepalive probe, may stay
// without the peer's acknowledgement before the kernel fails the connection.
// The database's servers have the same bound (tcp_user_timeout).
const Unacknowledged = 10 * time.Second

// Dialer makes connections within timeout.
func Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout:         timeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3},
		Control:         control,
	}
}
