package backup

import (
	"context"
	"fmt"

	"github.com/hashicorp/nomad/api"

	"bookstore/services/platform/nomadexec"
)

// OnLeader runs commands in the container of a member of the job patroni, by
// Nomad's exec. member is its name in Patroni, patroni-<index>.
func OnLeader(client *api.Client, member string) (Exec, error) {
	var index int
	if _, err := fmt.Sscanf(member, "patroni-%d", &index); err != nil {
		return nil, fmt.Errorf("the leader's name %q is not patroni-<index>: %w", member, err)
	}
	return func(ctx context.Context, command ...string) (string, string, int, error) {
		alloc, err := running(ctx, client, fmt.Sprintf("patroni.patroni[%d]", index))
		if err != nil {
			return "", "", 0, err
		}
		result, err := nomadexec.Run(ctx, client, alloc, "patroni", command...)
		return result.Stdout, result.Stderr, result.Exit, err
	}, nil
}

// running finds the allocation of that name that runs.
func running(ctx context.Context, client *api.Client, name string) (*api.Allocation, error) {
	allocs, _, err := client.Jobs().Allocations("patroni", false, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the members' allocations: %w", err)
	}
	for _, a := range allocs {
		if a.Name == name && a.ClientStatus == api.AllocClientStatusRunning {
			return &api.Allocation{ID: a.ID, NodeID: a.NodeID, TaskGroup: a.TaskGroup, JobID: a.JobID}, nil
		}
	}
	return nil, fmt.Errorf("%s does not run", name)
}
