package lifecycle

import "sync/atomic"

// Gate is a service's readiness. It starts closed, opens when the service has
// started and closes for good when the service is told to stop.
type Gate struct{ open atomic.Bool }

// Ready reports whether the service should get requests.
func (g *Gate) Ready() bool { return g.open.Load() }

// Open makes the service ready.
func (g *Gate) Open() { g.open.Store(true) }

// Close makes the service not ready, because it stops.
func (g *Gate) Close() { g.open.Store(false) }
