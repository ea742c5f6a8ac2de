//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// restart runs what the task `restart` runs, for one job.
func restart(t *testing.T, job string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, "go", "tool", "shop", "restart", job).CombinedOutput()
	if err != nil {
		t.Errorf("restart %s: %v\n%s", job, err, out)
		return
	}
	t.Logf("%s restarted in %.0f s", job, time.Since(begin).Seconds())
}

// Every service is restarted, instance by instance and two services at a time, while customers
// read and buy: nobody notices.
func TestRollingRestartLosesNoRequest(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	l := shoptest.StartEveryday(t)
	l.More(t, "", 100)
	for two := range slices.Chunk(cluster.Services, 2) {
		var both sync.WaitGroup
		for _, job := range two {
			both.Go(func() { restart(t, job) })
		}
		both.Wait()
		cluster.WaitHealthy(t, 2, cluster.Services...)
	}
	l.More(t, "", 100)
	l.RequireNoFailure(t)
	cluster.RequireNothingInDoubt(t)
	cluster.RequireLedgerBalanced(t)
}

// scale sets the count of a job's only group, which has the job's name.
func scale(ctx context.Context, t *testing.T, job string, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	options := (&nomad.WriteOptions{}).WithContext(ctx)
	if _, _, err := cluster.Nomad(t).Jobs().Scale(job, job, &count, "end-to-end test", false, nil, options); err != nil {
		t.Errorf("scale %s to %d: %v", job, count, err)
	}
}
