package cluster

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"bookstore/services/shoptest"
)

// wanted is how many healthy instances of everything there are when nothing is missing.
var wanted = map[string]int{
	"books": 2, "orders": 2, "payments": 2, "coordinator": 2, "gateway": 2, "patroni": postgresMembers, "patroni-rest": postgresMembers,
}

// Whole is nil when nothing is missing: two instances of every service, a leader and four
// standbys any of which a commit may wait for, six nodes of Redis, no open circuit. What costs
// least is asked first.
func Whole(ctx context.Context, t testing.TB) error {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		entries, err := Healthy(ctx, t, name, "")
		if err != nil {
			return err
		}
		if len(entries) != wanted[name] {
			return fmt.Errorf("%d instances of %s are healthy", len(entries), name)
		}
	}
	if err := PostgresWhole(ctx, t); err != nil {
		return err
	}
	if err := RedisWhole(ctx, t); err != nil {
		return err
	}
	// The mesh may shun an instance longer than that is unwell: the front must reach them all.
	var health struct{ Status string }
	if err := get(ctx, shoptest.BaseURL(t)+"/health", &health); err != nil || health.Status != "ok" {
		return fmt.Errorf("the gateway's health is %q: %w", health.Status, err)
	}
	return circuitsAreClosed(ctx, t)
}

// throughCircuits are reads behind each of the gateway's circuits, none of which a cache answers.
var throughCircuits = []string{"/books/1/availability", "/orders?customerId=nobody", "/transactions?limit=1"}

// circuitsAreClosed is nil when no gateway holds calls back from a service. A circuit whose
// time is over closes with the next call that is answered, so each look makes some.
func circuitsAreClosed(ctx context.Context, t testing.TB) error {
	t.Helper()
	all, err := Measured(ctx, t, "gateway")
	if err != nil {
		return err
	}
	op := shoptest.Operator(t)
	for _, path := range throughCircuits {
		for range 2 * len(all) {
			a, err := op.Try(ctx, shoptest.Call{Method: "GET", Path: path})
			if err != nil || a.Status >= http.StatusInternalServerError {
				return fmt.Errorf("GET %s: %v %w", path, a, err)
			}
		}
	}
	if all, err = Measured(ctx, t, "gateway"); err != nil {
		return err
	}
	for gateway, s := range all {
		for _, destination := range []string{"books", "orders", "coordinator"} {
			if s.Sum("circuit_state", fmt.Sprintf("destination=%q", destination)) != 0 {
				return fmt.Errorf("the circuit of %s to %s is not closed", gateway, destination)
			}
		}
	}
	return nil
}
