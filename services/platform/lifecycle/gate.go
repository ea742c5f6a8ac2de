package lifecycle

import "sync/atomic"

// Gate is a service's readiness. It starts closed, opens when the service has
// started and closes for good when the service is told to stop.
type Gate struct{ open atomic.Bool }

// Ready reports whether requests should come here.
func (g *Gate) Ready() bool { return g.open.Load() }

// Open says that the service has started.
func (g *Gate) Open() { g.open.Store(true) }

// Close says that the service is leaving.
func (g *Gate) Close() { g.open.Store(false) }
