// Package redis gives the shop's Redis cluster another number of nodes while it serves. The nodes move slots and take
// roles by themselves (jobs/redis/care); here they are told how many they are to be, made or removed, and watched.
package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/provide"
)

// job is the name of the job, of its group and of the task.
const job = "redis"

// Sizes are the numbers of nodes that the cluster may have; half of them are masters.
var Sizes = []string{"6", "8", "10", "12"}

// Scale makes the cluster one of so many nodes. Cut off, it leaves a cluster that goes on by itself, and can be run again.
func Scale(ctx context.Context, c *cluster.Cluster, out console.Console, target int) error {
	running, err := c.Running(ctx, job)
	if err != nil {
		return err
	}
	if len(running) == 0 {
		return errors.New("nothing of the job redis runs: 'go tool task up' starts it")
	}
	s := scaling{c: c, out: out, now: len(running), target: target}
	if err := s.awaitDeployment(ctx, 2*time.Minute); err != nil {
		return err
	}
	out.Stagef("redis: from %d nodes to %d", s.now, target)
	change := s.grow
	if target < s.now {
		change = s.shrink
	}
	if err := change(ctx); err != nil {
		return err
	}
	if err := s.awaitDeployment(ctx, 3*time.Minute); err != nil {
		return err
	}
	out.Sayf("redis has %d nodes", target)
	return nil
}

// scaling is one run of Scale.
type scaling struct {
	c           *cluster.Cluster
	out         console.Console
	now, target int // nodes
}

// grow makes nodes, which take their share of the slots.
func (s scaling) grow(ctx context.Context) error {
	made, err := provide.Volumes(ctx, s.c, s.target)
	if made > 0 {
		s.out.Sayf("%d volumes made", made)
	}
	if err != nil {
		return err
	}
	before, _, err := s.c.Consul.KV().Get(provide.RedisCount, cluster.ConsulQuery(ctx))
	if err != nil {
		return fmt.Errorf("read how many nodes Redis is to have: %w", err)
	}
	if err := s.want(ctx, s.target); err != nil {
		return err
	}
	if err := s.scale(ctx); err != nil {
		// There will be no node to follow what was said.
		if before == nil {
			return errors.Join(err, s.want(ctx, s.now))
		}
		_, not := s.c.Consul.KV().Put(before, cluster.ConsulWrite(ctx))
		return errors.Join(err, not)
	}
	return s.watch(ctx, left)
}

// shrink has nodes give away what they have, and removes them when they have nothing.
func (s scaling) shrink(ctx context.Context) error {
	if err := s.want(ctx, s.target); err != nil {
		return err
	}
	if err := s.watch(ctx, leftToGive); err != nil {
		return err
	}
	if err := s.scale(ctx); err != nil {
		return err
	}
	if err := s.watch(ctx, left); err != nil {
		return err
	}
	// What the nodes that went kept: nothing but their place in the cluster.
	for i := s.target; i < s.now; i++ {
		if err := provide.Remove(ctx, s.c, s.out, provide.PerInstance(job, i)); err != nil {
			return err
		}
	}
	return nil
}

// want tells the nodes how many there are to be.
func (s scaling) want(ctx context.Context, count int) error {
	pair := &consul.KVPair{Key: provide.RedisCount, Value: []byte(strconv.Itoa(count))}
	if _, err := s.c.Consul.KV().Put(pair, cluster.ConsulWrite(ctx)); err != nil {
		return fmt.Errorf("say how many nodes Redis is to have: %w", err)
	}
	return nil
}

// scale sets how many nodes Nomad runs.
func (s scaling) scale(ctx context.Context) error {
	if _, _, err := s.c.Nomad.Jobs().Scale(job, job, &s.target, "redis scale", false, nil, cluster.Write(ctx)); err != nil {
		return fmt.Errorf("Nomad does not scale redis: %w; run this again when it may", err) //nolint:staticcheck // a name
	}
	return nil
}

// awaitDeployment waits for the end of a deployment of redis: during one Nomad scales nothing.
func (s scaling) awaitDeployment(ctx context.Context, limit time.Duration) error {
	wait := console.Wait{For: "the deployment of redis", Limit: limit, Hint: "'nomad job status redis' shows where it is"}
	return s.out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		deployment, _, err := s.c.Nomad.Jobs().LatestDeployment(job, cluster.Query(ctx))
		switch {
		case err != nil:
			return "", fmt.Errorf("read the deployment of redis: %w", err)
		case deployment == nil || deployment.Status == nomad.DeploymentStatusSuccessful:
			return "", nil
		}
		return "its deployment is " + deployment.Status, nil
	})
}

// watch shows what is left to do until that is nothing, three times in a row: a single poll may be at a moment between
// two steps.
func (s scaling) watch(ctx context.Context, left func(nodes []node, target int) string) error {
	const calm = 3
	quiet := 0
	wait := console.Wait{For: "the change of the cluster", Limit: 10 * time.Minute, Hint: "'go tool task logs -- redis' shows what it tries", Every: time.Second}
	return s.out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		is := left(s.view(ctx), s.target)
		if is != "" {
			quiet = 0
			return is, nil
		}
		if quiet++; quiet == calm {
			return "", nil
		}
		return "nothing is left to do: polling again", nil
	})
}

// node is one of the cluster's.
type node struct {
	index  int // the job's, or one beyond all of them where Consul does not list the node
	id     string
	master bool
	slots  int    // that it owns
	of     string // of a replica the ID of its master
}

// view is how the oldest node sees the cluster; nothing if it does not answer.
func (s scaling) view(ctx context.Context) (nodes []node) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	running, err := s.c.Running(ctx, job)
	if err != nil || len(running) == 0 {
		return nil
	}
	text, err := s.c.Exec(ctx, running[0].ID, job, "redis-care", "show")
	if err != nil {
		return nil
	}
	return parse(text)
}

// parse reads what redis-care shows: index, ID, role, slots and master of each node.
func parse(text string) (nodes []node) {
	for line := range strings.Lines(text) {
		var n node
		var role string
		if _, err := fmt.Sscan(line, &n.index, &n.id, &role, &n.slots, &n.of); err != nil {
			continue // no line of the table
		}
		n.master = role == "master"
		nodes = append(nodes, n)
	}
	return nodes
}

// left says what there is to do until the cluster is as it should be.
func left(nodes []node, target int) string {
	if len(nodes) > 0 && len(nodes) != target {
		return fmt.Sprintf("%d nodes, to be %d", len(nodes), target)
	}
	return leftToGive(nodes, target)
}

// leftToGive says what there is to do until the nodes beyond the target may go: they own nothing, and every master has a
// replica that stays.
func leftToGive(nodes []node, target int) string {
	if len(nodes) == 0 {
		return "no node answers"
	}
	copied := map[string]bool{}
	for _, n := range nodes {
		if !n.master && n.index < target {
			copied[n.of] = true
		}
	}
	var shares []int
	var words []string
	going, alone := 0, 0
	for _, n := range nodes {
		if !n.master || n.slots == 0 {
			continue
		}
		shares, words = append(shares, n.slots), append(words, strconv.Itoa(n.slots))
		if n.index >= target {
			going += n.slots
		}
		if !copied[n.id] {
			alone++
		}
	}
	perMaster := "slots per master: " + strings.Join(words, " ")
	switch {
	case going > 0:
		return fmt.Sprintf("%d slots on nodes that are to go, %s", going, perMaster)
	case len(shares) != target/2:
		return fmt.Sprintf("%d masters, %s", len(shares), perMaster)
	case 10*slices.Max(shares) > 11*slices.Min(shares):
		return perMaster
	case alone > 0:
		return fmt.Sprintf("%d masters wait for a replica", alone)
	}
	return ""
}
