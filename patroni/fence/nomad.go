package fence

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/nomad/api"
)

// NomadTask is a task of an allocation.
type NomadTask struct {
	Client           *api.Client
	Allocation, Name string
}

// Kill has Nomad send SIGKILL, which neither a stopped process nor a paused container
// withstands. It returns before they are gone.
func (t NomadTask) Kill(ctx context.Context) error {
	allocation := &api.Allocation{ID: t.Allocation}
	err := t.Client.Allocations().Signal(allocation, (&api.QueryOptions{}).WithContext(ctx), t.Name, "SIGKILL")
	if err != nil {
		return fmt.Errorf("send SIGKILL to task %s of %s: %w", t.Name, t.Allocation, err)
	}
	return nil
}

// StandsStill asks Nomad, which measures each task about once a second. A process that is
// merely slow has had some processor time, be it ever so little; one that is stopped, or in
// a container that is paused, has had none.
func (t NomadTask) StandsStill(ctx context.Context, after time.Time) (bool, error) {
	stats, err := t.Client.Allocations().Stats(&api.Allocation{ID: t.Allocation}, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("read what task %s of %s uses: %w", t.Name, t.Allocation, err)
	}
	task := stats.Tasks[t.Name]
	if task == nil || task.ResourceUsage == nil || task.ResourceUsage.CpuStats == nil {
		return false, fmt.Errorf("nothing is known of what task %s of %s uses", t.Name, t.Allocation)
	}
	return time.Unix(0, task.Timestamp).After(after) && task.ResourceUsage.CpuStats.Percent == 0, nil
}
