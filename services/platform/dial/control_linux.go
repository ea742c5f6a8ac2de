package dial

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// control bounds unacknowledged data; keepalive probes are sent only while
// nothing is on its way.
func control(_, _ string, socket syscall.RawConn) error {
	var failed error
	err := socket.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(Unacknowledged.Milliseconds()))
	})
	return errors.Join(err, failed)
}
