package pgtest

import (
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// unbounded are the calls without a deadline that the code under test made.
type unbounded struct {
	mu    sync.Mutex
	calls []string
}

// note excuses what a test calls, directly or through the code under test:
// the test's own context has no deadline. What runs in the background, or for
// a request, has none of the test's functions on its stack.
func (u *unbounded) note(call string, stack []runtime.Frame) (excused bool) {
	var trace strings.Builder
	for _, frame := range stack {
		if strings.HasSuffix(frame.File, "_test.go") || ofTests(frame.Function) {
			return true
		}
		fmt.Fprintf(&trace, "\n\t%s %s:%d", frame.Function, frame.File, frame.Line)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.calls) < 5 {
		u.calls = append(u.calls, call+trace.String())
	}
	return false
}

// ofTests tells whether a function is of a package for tests, such as pgtest.
func ofTests(function string) bool {
	pkg, _, _ := strings.Cut(path.Base(function), ".")
	return strings.HasSuffix(pkg, "test")
}

func (u *unbounded) judge(t testing.TB) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, call := range u.calls {
		t.Errorf("a call to the database has no deadline: %s", call)
	}
}
