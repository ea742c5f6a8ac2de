package fence

import (
	"context"
	"fmt"
	"strings"

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

// NomadJob is the job whose allocations are the members.
type NomadJob struct {
	Client      *api.Client
	Name, Scope string
}

// Staying returns the names of the members that Nomad means to keep running where they are. It decides that for all whom one
// stop of the job or one drain of a machine concerns before the first of them is told.
func (j NomadJob) Staying(ctx context.Context) ([]string, error) {
	all, _, err := j.Client.Jobs().Allocations(j.Name, false, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the allocations of %s: %w", j.Name, err)
	}
	names := []string{}
	for _, a := range all {
		_, index, found := strings.Cut(a.Name, "[") // patroni.patroni[3]
		if found && a.DesiredStatus == api.AllocDesiredStatusRun && a.ClientStatus == api.AllocClientStatusRunning {
			names = append(names, j.Scope+"-"+strings.TrimSuffix(index, "]"))
		}
	}
	return names, nil
}
