package fence

import (
	"context"
	"fmt"

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
