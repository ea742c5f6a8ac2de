package provide

import (
	"context"
	"fmt"
	"time"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/machine"
)

// Nodes waits, up to limit, until Nomad has so many nodes that take work with sidecars: what is placed while one of several is
// not there yet stays on the others.
func Nodes(ctx context.Context, c *cluster.Cluster, out console.Console, want int, limit time.Duration) error {
	wait := console.Wait{For: "the nodes of Nomad", Limit: limit, Hint: "see its log in " + machine.Logs}
	return out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		if c.Ready(ctx) != nil {
			return "no node is ready", nil //nolint:nilerr // that is what is waited for
		}
		hosts, err := c.Hosts(ctx)
		if err != nil || len(hosts) < want {
			return fmt.Sprintf("%d of %d nodes are ready", len(hosts), want), err
		}
		if meshed, err := c.Meshed(ctx); err != nil || !meshed {
			return "Nomad does not know Consul yet", err
		}
		return "", nil
	})
}
