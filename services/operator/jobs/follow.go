package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// Await waits until the latest version of every one of these jobs is healthy, or has ended well.
func Await(ctx context.Context, c *cluster.Cluster, out console.Console, names ...string) error {
	ready := map[string]bool{}
	overcome := map[string]string{} // by job, a deployment that had failed before
	wait := console.Wait{For: "the start of the jobs", Limit: 10 * time.Minute, Hint: "'go tool task status' shows where they are", Every: 300 * time.Millisecond}
	return out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		var left []string
		for _, name := range names {
			if ready[name] {
				continue
			}
			if _, seen := overcome[name]; !seen {
				var err error
				if overcome[name], err = tryAgain(ctx, c, name); err != nil {
					return "", err
				}
			}
			how, err := progress(ctx, c, name, overcome[name])
			if errors.Is(err, errFailed) {
				return "", fmt.Errorf("job %s failed: 'go tool task logs -- %s' shows why, 'go tool task status' the rest", name, name)
			}
			if err != nil {
				return "", err
			}
			if ready[name] = how == ""; how != "" {
				left = append(left, name+" "+how)
			}
		}
		if len(left) == 0 {
			return "", nil
		}
		return "waiting for " + strings.Join(left, ", "), nil
	})
}

var errFailed = errors.New("failed")

// tryAgain has Nomad start again what it has given up of a job's latest version, and returns the deployment that failed,
// if one did: Nomad begins no other for a version that has not changed.
func tryAgain(ctx context.Context, c *cluster.Cluster, name string) (failed string, err error) {
	deployment, _, err := c.Nomad.Jobs().LatestDeployment(name, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("read the deployment of %s: %w", name, err)
	}
	if deployment == nil || deployment.Status != nomad.DeploymentStatusFailed {
		return "", nil
	}
	if _, _, err := c.Nomad.Jobs().EvaluateWithOpts(name, nomad.EvalOptions{ForceReschedule: true}, cluster.Write(ctx)); err != nil {
		return "", fmt.Errorf("have %s start again: %w", name, err)
	}
	return deployment.ID, nil
}

// progress says how far a job's latest version is; nothing when it is where it should be. Where the deployment overcome is
// the latest, what counts is how much of the job runs.
func progress(ctx context.Context, c *cluster.Cluster, name, overcome string) (string, error) {
	job, err := c.Job(ctx, name)
	if err != nil {
		return "", err
	}
	if *job.Type == nomad.JobTypeBatch {
		return batchProgress(ctx, c, job)
	}
	deployment, _, err := c.Nomad.Jobs().LatestDeployment(name, cluster.Query(ctx))
	if err != nil {
		return "", fmt.Errorf("read the deployment of %s: %w", name, err)
	}
	switch {
	case deployment == nil && *job.Stable:
		return "", nil // Nomad forgets a deployment after an hour, or sooner, but not that it was a success
	case deployment == nil || deployment.JobVersion != *job.Version:
		return "scheduling", nil
	}
	if deployment.ID == overcome {
		return runningOf(ctx, c, job)
	}
	switch deployment.Status {
	case nomad.DeploymentStatusSuccessful:
		return "", nil
	case nomad.DeploymentStatusFailed, nomad.DeploymentStatusCancelled:
		return "", errFailed
	}
	var groups []string
	for _, group := range deployment.TaskGroups {
		groups = append(groups, fmt.Sprintf("%d/%d", group.HealthyAllocs, group.DesiredTotal))
	}
	return strings.Join(groups, " "), nil
}

// runningOf says how many allocations of a job's latest version run; nothing when all do.
func runningOf(ctx context.Context, c *cluster.Cluster, job *nomad.Job) (string, error) {
	running, err := c.Running(ctx, *job.ID)
	if err != nil {
		return "", err
	}
	want, have := 0, 0
	for _, group := range job.TaskGroups {
		want += *group.Count
	}
	for _, a := range running {
		if a.JobVersion == *job.Version {
			have++
		}
	}
	if have >= want {
		return "", nil
	}
	return fmt.Sprintf("%d/%d", have, want), nil
}

// batchProgress is that of a job that runs to its end.
func batchProgress(ctx context.Context, c *cluster.Cluster, job *nomad.Job) (string, error) {
	all, err := c.Allocations(ctx, *job.ID)
	if err != nil {
		return "", err
	}
	for _, a := range all {
		switch {
		case a.JobVersion != *job.Version:
		case a.ClientStatus == nomad.AllocClientStatusComplete:
			return "", nil
		case a.ClientStatus == nomad.AllocClientStatusFailed && a.NextAllocation == "":
			err = errFailed // unless another attempt went well
		}
	}
	return "running", err
}

// Stop stops jobs and waits until nothing of them runs. A job that is not there is stopped.
func Stop(ctx context.Context, c *cluster.Cluster, out console.Console, names ...string) error {
	for _, name := range names {
		if err := deregister(ctx, c, name, false); err != nil {
			return err
		}
	}
	return gone(ctx, c, out, func(job string) bool { return slices.Contains(names, job) })
}

// StopAll stops all jobs, runs of those that run by the clock as well, and waits until nothing runs.
func StopAll(ctx context.Context, c *cluster.Cluster, out console.Console) error {
	all, _, err := c.Nomad.Jobs().List(cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("list the jobs: %w", err)
	}
	for _, job := range all {
		if job.Stop || (job.ParentID != "" && job.Status == "dead") {
			continue
		}
		if err := deregister(ctx, c, job.ID, false); err != nil {
			return err
		}
	}
	return gone(ctx, c, out, func(string) bool { return true })
}

// Purge has Nomad forget a job, which then runs anew when it is submitted. A job that is not there is forgotten.
func Purge(ctx context.Context, c *cluster.Cluster, name string) error {
	return deregister(ctx, c, name, true)
}

func deregister(ctx context.Context, c *cluster.Cluster, name string, purge bool) error {
	if _, err := c.Job(ctx, name); errors.Is(err, cluster.ErrNoJob) {
		return nil
	}
	if _, _, err := c.Nomad.Jobs().Deregister(name, purge, cluster.Write(ctx)); err != nil {
		return fmt.Errorf("stop the job %s: %w", name, err)
	}
	return nil
}

// gone waits until no allocation of these jobs is left.
func gone(ctx context.Context, c *cluster.Cluster, out console.Console, meant func(job string) bool) error {
	wait := console.Wait{For: "the end of the jobs", Limit: 2 * time.Minute, Hint: "'nomad status' shows which", Every: 300 * time.Millisecond}
	return out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		options := cluster.Query(ctx)
		options.Params = map[string]string{"task_states": "false"}
		all, _, err := c.Nomad.Allocations().List(options)
		if err != nil {
			return "", fmt.Errorf("list the allocations: %w", err)
		}
		left := 0
		for _, a := range all {
			if meant(a.JobID) && (a.ClientStatus == nomad.AllocClientStatusRunning || a.ClientStatus == nomad.AllocClientStatusPending) {
				left++
			}
		}
		if left == 0 {
			return "", nil
		}
		return fmt.Sprintf("%d allocations are stopping", left), nil
	})
}
