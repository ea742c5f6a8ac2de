package logs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

const (
	// depth is how many bytes of each task's log are read, from its end.
	depth = 16 << 20
	// readers are how many logs are read at once.
	readers = 4
	// patience is how long one log may take.
	patience = 30 * time.Second
)

// Gather reads the logs of the given jobs' allocations that Nomad still has, of the task that is named as its job, as far
// back as depth. missed are those that could not be read, of a machine that is away for example.
func Gather(ctx context.Context, c *cluster.Cluster, jobs []string) (outputs [][]byte, missed []error, err error) {
	var allocations []*nomad.AllocationListStub
	for _, job := range jobs {
		of, err := c.Allocations(ctx, job)
		if err != nil {
			return nil, nil, err
		}
		allocations = append(allocations, of...)
	}
	outputs = make([][]byte, len(allocations))
	errs := make([]error, len(allocations))
	room := make(chan struct{}, readers)
	var reading sync.WaitGroup
	for i, a := range allocations {
		reading.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			outputs[i], errs[i] = read(ctx, c, a)
		})
	}
	reading.Wait()
	return outputs, slices.DeleteFunc(errs, func(err error) bool { return err == nil }), ctx.Err()
}

func read(ctx context.Context, c *cluster.Cluster, a *nomad.AllocationListStub) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := c.End(ctx, a.ID, a.JobID, "stdout", depth)
	if err != nil && a.ClientStatus != nomad.AllocClientStatusRunning {
		return text, nil // Nomad has removed the logs of one that is over
	}
	if err != nil {
		err = fmt.Errorf("read the log of %s: %w", a.Name, errors.Join(err, ctx.Err()))
	}
	return text, err
}
