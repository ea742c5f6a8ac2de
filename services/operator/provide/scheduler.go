package provide

import (
	"context"
	"errors"
	"fmt"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

// Scheduler has Nomad place what is to be placed where the least runs. Its own way is to fill one machine after the other: of
// three it would leave one without any service, and the first one's death would take one instance of each. What else is set stays.
func Scheduler(ctx context.Context, c *cluster.Cluster) error {
	is, _, err := c.Nomad.Operator().SchedulerGetConfiguration(cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("read how Nomad schedules: %w", err)
	}
	config := is.SchedulerConfig
	if config == nil {
		return errors.New("Nomad does not say how it schedules") //nolint:staticcheck // a name
	}
	if config.SchedulerAlgorithm == nomad.SchedulerAlgorithmSpread {
		return nil
	}
	config.SchedulerAlgorithm = nomad.SchedulerAlgorithmSpread
	answer, _, err := c.Nomad.Operator().SchedulerCASConfiguration(config, cluster.Write(ctx))
	if err == nil && !answer.Updated {
		err = errors.New("another changed it meanwhile: run this again")
	}
	if err != nil {
		return fmt.Errorf("set how Nomad schedules: %w", err)
	}
	return nil
}
