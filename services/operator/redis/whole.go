package redis

import (
	"context"
	"fmt"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// Partners are, by the index of each node, those of the nodes that have the same slots: a master and its replicas.
func Partners(ctx context.Context, c *cluster.Cluster) map[int][]int {
	return partners(scaling{c: c}.view(ctx))
}

func partners(nodes []node) map[int][]int {
	all := map[int][]int{}
	for _, n := range nodes {
		for _, other := range nodes {
			if n.of == other.id || other.of == n.id || !n.master && !other.master && n.of == other.of && n.id != other.id {
				all[n.index] = append(all[n.index], other.index)
			}
		}
	}
	return all
}

// AwaitWhole waits, for ten minutes at most, until there are so many nodes, half of them masters with a replica each, and none of
// a pair that is together: both on one host.
func AwaitWhole(ctx context.Context, c *cluster.Cluster, out console.Console, count int, together func(a, b int) bool) error {
	s := scaling{c: c, out: out, now: count, target: count}
	return s.watch(ctx, func(nodes []node, target int) string {
		if is := left(nodes, target); is != "" {
			return is
		}
		for a, others := range partners(nodes) {
			for _, b := range others {
				if a < b && together(a, b) {
					return fmt.Sprintf("the nodes %d and %d have the same slots, on one host", a, b)
				}
			}
		}
		return ""
	})
}
