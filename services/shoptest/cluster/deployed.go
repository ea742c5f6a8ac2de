package cluster

import (
	"context"
	"fmt"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
)

// WaitDeployed polls until a job's newest deployment is over: Nomad scales no job during one.
func WaitDeployed(t *testing.T, job string) {
	t.Helper()
	client := Nomad(t)
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

// WaitRunning polls until exactly n allocations of a job are left running.
func WaitRunning(t *testing.T, job string, n int) {
	t.Helper()
	client := Nomad(t)
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
