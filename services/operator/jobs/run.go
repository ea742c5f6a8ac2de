package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// Start has a job that runs by the clock run now, and returns the name of that run.
func Start(ctx context.Context, c *cluster.Cluster, job string) (run string, err error) {
	if _, _, err := c.Nomad.Jobs().PeriodicForce(job, cluster.Write(ctx)); err != nil {
		return "", fmt.Errorf("the job %s does not run: %w; 'go tool task up' submits it", job, err)
	}
	runs, err := c.Runs(ctx, job)
	if err != nil || len(runs) == 0 {
		return "", fmt.Errorf("Nomad started no run of %s: %w", job, err) //nolint:staticcheck // a name
	}
	return runs[len(runs)-1].ID, nil
}

// Finish waits until a run of Start has ended, shows what its tasks said, and returns an error unless it ended well. It
// ends with its last task, or with the one that is named: another may go on longer.
func Finish(ctx context.Context, c *cluster.Cluster, out console.Console, run, last string, limit time.Duration, tasks ...string) error {
	var end *nomad.AllocationListStub
	err := out.Wait(ctx, console.Wait{For: run, Limit: limit, Every: time.Second}, func(ctx context.Context) (string, error) {
		all, err := c.Allocations(ctx, run)
		if err != nil || len(all) == 0 {
			return "pending", err
		}
		end = all[len(all)-1]
		if over(end, last) {
			return "", nil
		}
		return end.ClientStatus, nil
	})
	if err != nil {
		return err
	}
	for _, task := range tasks {
		for _, stream := range []string{"stdout", "stderr"} {
			var text strings.Builder
			if c.Output(ctx, &text, end.ID, task, stream, 200) != nil {
				continue // a task that did not start said nothing
			}
			for line := range strings.Lines(text.String()) {
				out.Sayf("%s", strings.TrimRight(line, "\n"))
			}
		}
	}
	if failed(end, last) {
		return fmt.Errorf("%s failed, see above", run)
	}
	return nil
}

func over(a *nomad.AllocationListStub, task string) bool {
	if state, ok := a.TaskStates[task]; ok {
		return state.State == "dead"
	}
	switch a.ClientStatus {
	case nomad.AllocClientStatusComplete, nomad.AllocClientStatusFailed, nomad.AllocClientStatusLost:
		return true
	}
	return false
}

func failed(a *nomad.AllocationListStub, task string) bool {
	if state, ok := a.TaskStates[task]; ok {
		return state.Failed
	}
	return a.ClientStatus != nomad.AllocClientStatusComplete
}
