//go:build drill

package drills

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// loseRedis: without any Redis the shop serves from its services, and what is cached comes back
// with it.
func loseRedis(end func(t *testing.T, running []*nomad.AllocationListStub)) func(t *testing.T) {
	return func(t *testing.T) {
		cluster.WaitDeployed(t, "redis")
		l := shoptest.StartEveryday(t)
		l.More(t, "", 100)
		ended := time.Now()
		end(t, cluster.Running(t, "redis"))
		shoptest.Eventually(t, 2*time.Minute, "Redis is whole again", func(ctx context.Context) error { return cluster.RedisWhole(ctx, t) })
		t.Logf("whole after %.1f s", time.Since(ended).Seconds())
		l.More(t, "", 150)
		l.RequireNoFailure(t)
		requireCached(t, l.Books[0])
		cluster.RequireNothingInDoubt(t)
	}
}

// killRedis kills all nodes at one instant: they come back in place.
func killRedis(t *testing.T, running []*nomad.AllocationListStub) {
	t.Helper()
	var containers []string
	for _, a := range running {
		containers = append(containers, cluster.Container("redis", a.ID))
	}
	if _, err := cluster.Kill(nil, containers...); err != nil {
		t.Fatal(err)
	}
}

// stopRedis has Nomad replace all nodes at once: each gets new ports.
func stopRedis(t *testing.T, running []*nomad.AllocationListStub) {
	t.Helper()
	var ids []string
	for _, a := range running {
		ids = append(ids, a.ID)
	}
	stop(t, ids...)
}

// requireCached: what was read once comes from a cache.
func requireCached(t *testing.T, book int64) {
	t.Helper()
	c := shoptest.Shop(t)
	shoptest.Eventually(t, 20*time.Second, "reads are cached", func(context.Context) error {
		a := c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", book)}, nil)
		if from := a.Header.Get("X-Cache"); from != "near" && from != "shared" {
			return fmt.Errorf("X-Cache is %q", from)
		}
		return nil
	})
}
