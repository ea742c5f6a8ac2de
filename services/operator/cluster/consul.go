package cluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	consul "github.com/hashicorp/consul/api"
)

// Instances are a service's, healthy or not.
func (c *Cluster) Instances(ctx context.Context, service string) ([]*consul.ServiceEntry, error) {
	all, _, err := c.Consul.Health().Service(service, "", false, ConsulQuery(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the instances of %s: %w", service, err)
	}
	return all, nil
}

// Health is how many of a service's checks pass.
type Health struct {
	Service string `json:"service"`
	Passing int    `json:"passing"`
	Checks  int    `json:"checks"`
}

// Healths are those of all services, by name.
func (c *Cluster) Healths(ctx context.Context) ([]Health, error) {
	checks, _, err := c.Consul.Health().State(consul.HealthAny, ConsulQuery(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the checks: %w", err)
	}
	byName := map[string]Health{}
	for _, check := range checks {
		if check.ServiceName == "" {
			continue // a node's own
		}
		h := byName[check.ServiceName]
		h.Service = check.ServiceName
		h.Checks++
		if check.Status == consul.HealthPassing {
			h.Passing++
		}
		byName[check.ServiceName] = h
	}
	all := slices.Collect(maps.Values(byName))
	slices.SortFunc(all, func(a, b Health) int { return cmp.Compare(a.Service, b.Service) })
	return all, nil
}
