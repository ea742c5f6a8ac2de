package pg

import (
	"net"
	"testing"
	"time"
)

// A ping that is not answered in its whole second means that the server is
// gone, and all connections with it. One that its caller cut short means
// nothing, and neither does a statement.
func TestOnlyAWholePingCostsAllConnections(t *testing.T) {
	for name, c := range map[string]struct {
		pinging bool
		left    time.Duration // of the caller's time; 0: it has all the time
		expires bool
	}{
		"a whole ping":           {true, 0, true},
		"a caller with patience": {true, time.Minute, true},
		"a hasty caller":         {true, -time.Millisecond, false},
		"a statement":            {false, -time.Millisecond, false},
	} {
		socket, other := net.Pipe()
		_ = other.Close()
		w := &watch{turn: newTurn()}
		g := &guard{watch: w, live: true, conn: socket}
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
