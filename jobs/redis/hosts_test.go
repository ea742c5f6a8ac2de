package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// On three hosts no replica is beside its master, whatever was there first, and each host has a master; also after one has died
// and is back.
func TestNodesOnSeveralHosts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.hosts = 3
	c.grow(6)
	c.requireWhole(time.Minute)
	c.requireApart(time.Minute)

	places := c.mustPlaces()
	for i := 0; i < 6; i += 3 {
		c.nodes[i].kill()
	}
	for i := 0; i < 6; i += 3 {
		if places[i].master {
			c.eventually(20*time.Second, "the dead master's replica has taken over", func(ctx context.Context) error {
				return c.takenOver(ctx, i, places)
			})
		}
	}
	for i := 0; i < 6; i += 3 {
		c.start(c.nodes[i])
	}
	c.requireWhole(time.Minute)
	c.requireApart(time.Minute)
}

// requireApart waits until each of three hosts has one master and the replica of another's.
func (c *cluster) requireApart(within time.Duration) {
	c.t.Helper()
	c.eventually(within, "each host has a master, and no replica of it", func(ctx context.Context) error {
		places, err := c.places(ctx)
		if err != nil {
			return err
		}
		masters, at := map[string]int{}, map[int]string{}
		for i, n := range c.nodes {
			at[n.port] = c.host(i)
			if places[i].master {
				masters[c.host(i)]++
			}
		}
		if len(masters) != 3 {
			return fmt.Errorf("masters on the hosts: %v", masters)
		}
		for i, p := range places {
			if !p.master && at[p.other] == c.host(i) {
				return fmt.Errorf("node %d is on its master's host: %+v", i, places)
			}
		}
		return nil
	})
}
