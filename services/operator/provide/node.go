package provide

import (
	"context"
	"time"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/machine"
)

// Node waits, up to limit, until Nomad has a node that takes work with sidecars.
func Node(ctx context.Context, c *cluster.Cluster, out console.Console, limit time.Duration) error {
	wait := console.Wait{For: "a node of Nomad", Limit: limit, Hint: "see its log in " + machine.Logs}
	return out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		if c.Ready(ctx) != nil {
			return "no node is ready", nil //nolint:nilerr // that is what is waited for
		}
		if meshed, err := c.Meshed(ctx); err != nil || !meshed {
			return "Nomad does not know Consul yet", err
		}
		return "", nil
	})
}
