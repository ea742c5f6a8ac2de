package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// Start has a job that runs by the clock run now, and returns the name of that run.
func Start(ctx context.Context, c *cluster.Cluster, job string) (run string, err error) {
	id, _, err := c.Nomad.Jobs().PeriodicForce(job, cluster.Write(ctx))
	if err != nil {
		return "", fmt.Errorf("the job %s does not run: %w; 'go tool task up' submits it", job, err)
	}
	evaluation, _, err := c.Nomad.Evaluations().Info(id, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("find the run of %s: %w", job, err)
	}
	return evaluation.JobID, nil
}

// Finish waits until a run has ended, shows what these tasks of it said, and returns an error unless it ended well, in each
// of its groups.
func Finish(ctx context.Context, c *cluster.Cluster, out console.Console, run string, limit time.Duration, tasks ...string) error {
	var last []*nomad.AllocationListStub // of each group
	wait := console.Wait{For: run, Limit: limit, Hint: "'nomad job status " + run + "' shows where it is", Every: time.Second}
	err := out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		job, err := c.Job(ctx, run)
		if err != nil {
			return "", err
		}
		all, err := c.Allocations(ctx, run)
		if last = newest(all); err != nil || len(last) < len(job.TaskGroups) {
			return nomad.AllocClientStatusPending, err
		}
		for _, a := range last {
			switch a.ClientStatus {
			case nomad.AllocClientStatusComplete, nomad.AllocClientStatusFailed, nomad.AllocClientStatusLost:
			default:
				return a.ClientStatus, nil
			}
		}
		return "", nil
	})
	if err != nil {
		return err
	}
	var failed []string
	for _, a := range last {
		for _, task := range tasks {
			Said(ctx, c, out, a.ID, task)
		}
		if a.ClientStatus != nomad.AllocClientStatusComplete {
			failed = append(failed, a.TaskGroup)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s failed (%s), see above", run, strings.Join(failed, ", "))
	}
	return nil
}

// newest are the last allocations of each group, by the groups' names.
func newest(all []*nomad.AllocationListStub) []*nomad.AllocationListStub {
	of := map[string]*nomad.AllocationListStub{}
	for _, a := range all {
		of[a.TaskGroup] = a
	}
	return slices.SortedFunc(maps.Values(of), func(a, b *nomad.AllocationListStub) int { return strings.Compare(a.TaskGroup, b.TaskGroup) })
}

// Said shows and returns the last lines that a task of an allocation wrote: none if it did not start.
func Said(ctx context.Context, c *cluster.Cluster, out console.Console, allocation, task string) string {
	const lines = 200
	var text strings.Builder
	for _, stream := range []string{"stdout", "stderr"} {
		// Nomad has no such file where the task did not start.
		_ = c.Output(ctx, &text, allocation, task, stream, lines)
	}
	for line := range strings.Lines(text.String()) {
		out.Sayf("%s", strings.TrimRight(line, "\n"))
	}
	return text.String()
}

// Again has a job that runs to its end run once more, as it was submitted last, and waits for that end.
func Again(ctx context.Context, c *cluster.Cluster, out console.Console, name string) error {
	job, err := c.Job(ctx, name)
	if err != nil {
		return fmt.Errorf("%w: 'go tool task up' submits it", err)
	}
	// Nomad runs a batch job that has ended again only if it was stopped meanwhile.
	if err := deregister(ctx, c, name, false); err != nil {
		return err
	}
	runs := false
	job.Stop = &runs
	if _, _, err := c.Nomad.Jobs().Register(job, cluster.Write(ctx)); err != nil {
		return fmt.Errorf("start the job %s again: %w; 'go tool task up' does", name, err)
	}
	return Await(ctx, c, out, name)
}
