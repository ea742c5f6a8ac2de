package pg

import (
	"net"
	"testing"
	"time"
)

// A ping that is not answered within its second means that the server is gone, and all connections with it. A ping that
// its caller's deadline ended means nothing, nor does a statement that breaks.
func TestOnlyAWholePingCostsAllConnections(t *testing.T) {
	for name, c := range map[string]struct {
		pinging bool
		left    time.Duration // of the caller's time; 0: it has all the time
		expires bool
	}{
		"a whole ping":                   {true, 0, true},
		"a caller whose deadline is far": {true, time.Minute, true},
		"a caller whose deadline passed": {true, -time.Millisecond, false},
		"a statement":                    {false, -time.Millisecond, false},
	} {
		socket, other := net.Pipe()
		_ = other.Close()
		w := &watch{gate: newConnectGate()}
		g := &cancelGuard{watch: w, live: true, conn: socket}
		g.pinging.Store(c.pinging)
		patience := time.Time{}
		if c.left != 0 {
			patience = time.Now().Add(c.left)
		}
		g.patience.Store(&patience)
		if _, err := g.dial(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
			t.Errorf("%s: a cancel request was sent", name)
		}
		if got := w.generation.Load() == 1; got != c.expires {
			t.Errorf("%s: all connections dropped: %v", name, got)
		}
	}
}
