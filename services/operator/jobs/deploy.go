package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// Lasting are the jobs that run until they are stopped, and the one that prepares the databases, in the order in which
// one waits for the other. All are submitted at once: each waits for itself.
var Lasting = []string{"s3", "patroni", "redis", "migrate", "ingress", "alertmanager", "prometheus", "books", "orders", "payments", "coordinator", "gateway"}

// Clocked are the jobs that run by the clock.
var Clocked = []string{"warehouse", "backup"}

// Deploy submits jobs and waits until those that last are healthy: Nomad replaces what changed, one instance at a time.
func (f Files) Deploy(ctx context.Context, c *cluster.Cluster, out console.Console, names ...string) error {
	for _, name := range names {
		if err := f.Submit(ctx, c, name, nil); err != nil {
			return err
		}
	}
	lasting := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(Clocked, name) })
	return Await(ctx, c, out, lasting...)
}

// DeployAll deploys every job of the shop. A database that was never backed up, or never as the job does it now, does not
// wait for the clock; nor does a certificate.
func (f Files) DeployAll(ctx context.Context, c *cluster.Cluster, out console.Console) error {
	if err := f.Deploy(ctx, c, out, slices.Concat(Lasting, Clocked)...); err != nil {
		return err
	}
	if err := f.deployACME(ctx, c); err != nil {
		return err
	}
	return firstRun(ctx, c, "backup")
}

// firstRun starts a job that runs by the clock, unless it has run as it is now.
func firstRun(ctx context.Context, c *cluster.Cluster, name string) error {
	job, err := c.Job(ctx, name)
	if err != nil {
		return err
	}
	runs, err := c.Runs(ctx, name)
	if err == nil && (len(runs) == 0 || runs[len(runs)-1].CreateIndex < *job.JobModifyIndex) {
		_, err = Start(ctx, c, name)
	}
	return err
}

// learn is how long others may go on calling an instance that restarts, or not yet again: so long the next one waits.
const learn = 10 * time.Second

// Restart restarts a job's instances where they are, one after the other, each healthy again before the next.
func Restart(ctx context.Context, c *cluster.Cluster, out console.Console, job string) error {
	instances, err := c.Running(ctx, job)
	if err != nil {
		return err
	}
	if len(instances) == 0 {
		return fmt.Errorf("nothing of the job %s runs: 'go tool task status' lists what does", job)
	}
	for i, instance := range instances {
		out.Sayf("%s %s, %d of %d", job, instance.ID[:8], i+1, len(instances))
		if err := c.Nomad.Allocations().Restart(&nomad.Allocation{ID: instance.ID}, "", cluster.Query(ctx)); err != nil {
			return fmt.Errorf("restart %s %s: %w", job, instance.ID[:8], err)
		}
		began := time.Now()
		wait := console.Wait{For: "the return of " + job, Limit: 3 * time.Minute, Hint: "'go tool task logs -- " + job + "' shows why"}
		err := out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
			left, err := unhealthy(ctx, c, instance.ID, job, len(instances))
			if err == nil && left == "" && time.Since(began) < learn {
				left = "the others hear of it"
			}
			return left, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unhealthy says what keeps a job with a restarted instance from being whole.
func unhealthy(ctx context.Context, c *cluster.Cluster, instance, job string, count int) (string, error) {
	allocation, _, err := c.Nomad.Allocations().Info(instance, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("read the allocation %s: %w", instance, err)
	}
	for _, task := range slices.Sorted(maps.Keys(allocation.TaskStates)) {
		state := allocation.TaskStates[task]
		if state.Failed {
			return "", fmt.Errorf("%s of %s failed: 'go tool task logs -- %s' shows why", task, job, job)
		}
		if state.State != "running" && !state.FinishedAt.After(state.StartedAt) {
			return task + " is " + state.State, nil
		}
	}
	entries, err := c.Instances(ctx, job)
	if err != nil {
		return "", err
	}
	passing := 0
	for _, entry := range entries {
		if entry.Checks.AggregatedStatus() == consul.HealthPassing {
			passing++
		}
	}
	if passing < count {
		return fmt.Sprintf("%d of %d instances of %s are healthy", passing, count, job), nil
	}
	return "", nil
}
