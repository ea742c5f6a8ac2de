//go:build !linux

package dial

import "syscall"

// control is empty where there is no TCP_USER_TIMEOUT: deadlines alone end a
// call to a silent peer there.
func control(_, _ string, _ syscall.RawConn) error { return nil }
