//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
)

// restart runs what the task `restart` runs, for one job.
func restart(t *testing.T, job string) {
	t.Helper()
	binary := "/opt/bookstore/bin/nomad"
	if _, err := exec.LookPath(binary); err != nil {
		binary = "nomad"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, binary, "job", "restart",
		"-address=http://127.0.0.1:4646", "-batch-wait=10s", "-on-error=fail", "-yes", job).CombinedOutput()
	if err != nil {
		t.Errorf("restart %s: %v\n%s", job, err, out)
		return
	}
	t.Logf("%s restarted in %.0f s", job, time.Since(begin).Seconds())
}

// Every service is restarted, instance by instance and two services at a time, while customers
// read and buy: nobody notices.
func TestRollingRestartLosesNoRequest(t *testing.T) {
	waitHealthy(t, 2, services...)
	l := startLoad(t, besideOthers)
	l.more(t, 100)
	for two := range slices.Chunk(services, 2) {
		var both sync.WaitGroup
		for _, job := range two {
			both.Go(func() { restart(t, job) })
		}
		both.Wait()
		waitHealthy(t, 2, services...)
	}
	l.more(t, 100)
	l.requireNoFailure(t)
	requireNothingInDoubt(t)
	requireLedgerBalanced(t)
}

// scale sets the count of a job's only group, which has the job's name.
func scale(ctx context.Context, t *testing.T, job string, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	options := (&nomad.WriteOptions{}).WithContext(ctx)
	if _, _, err := nomadClient(t).Jobs().Scale(job, job, &count, "end-to-end test", false, nil, options); err != nil {
		t.Errorf("scale %s to %d: %v", job, count, err)
	}
}

// waitDeployed polls until a job's newest deployment is over: Nomad scales no job during one.
func waitDeployed(t *testing.T, job string) {
	t.Helper()
	client := nomadClient(t)
	shoptest.Eventually(t, 2*time.Minute, "deployment of "+job, func(ctx context.Context) error {
		d, _, err := client.Jobs().LatestDeployment(job, (&nomad.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		if d != nil && d.Status != nomad.DeploymentStatusSuccessful {
			return fmt.Errorf("it is %s: %s", d.Status, d.StatusDescription)
		}
		return nil
	})
}

// waitRunning polls until exactly n allocations of a job are left running.
func waitRunning(t *testing.T, job string, n int) {
	t.Helper()
	client := nomadClient(t)
	shoptest.Eventually(t, 2*time.Minute, fmt.Sprintf("%d running allocations of %s", n, job), func(ctx context.Context) error {
		allocs, _, err := client.Jobs().Allocations(job, false, (&nomad.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		running := 0
		for _, a := range allocs {
			if a.ClientStatus == nomad.AllocClientStatusRunning {
				running++
			}
		}
		if running != n {
			return fmt.Errorf("%d are running", running)
		}
		return nil
	})
}
