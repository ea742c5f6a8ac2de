package redistest

import "go.uber.org/goleak"

// LateDials excuses those of a client that is closed: go-redis looks once a second, in the
// background, whether it still needs the node that it could not reach.
func LateDials() goleak.Option {
	return goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")
}
