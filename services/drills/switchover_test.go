//go:build drill

package drills

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"

	nomad "github.com/hashicorp/nomad/api"
)

// switchOver has Patroni hand the lead to a standby of its choice.
func switchOver(t *testing.T, s *scene) {
	address := strings.TrimSuffix(s.leader.APIURL, "/patroni") + "/switchover"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(fmt.Sprintf(`{"leader":%q}`, s.leader.Name)))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("patroni", cluster.Password(t, "rest_password"))
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatalf("switch over: %v", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	t.Logf("%s: %s %v", res.Status, text, err)
	if res.StatusCode != http.StatusOK {
		t.Errorf("the switchover failed: %s", res.Status)
	}
}

// stopLeader has Nomad stop the leader's allocation and place it anew.
func stopLeader(t *testing.T, s *scene) { stop(t, s.leader.Alloc) }

// stop has Nomad stop allocations at once and place them anew. It returns when they have ended.
func stop(t *testing.T, ids ...string) {
	t.Helper()
	allocations := cluster.Nomad(t).Allocations()
	for _, id := range ids {
		if _, err := allocations.Stop(&nomad.Allocation{ID: id}, nil); err != nil {
			t.Fatalf("stop %s: %v", id, err)
		}
	}
	shoptest.Eventually(t, time.Minute, "the allocations have ended", func(ctx context.Context) error {
		for _, id := range ids {
			a, _, err := allocations.Info(id, (&nomad.QueryOptions{}).WithContext(ctx))
			if err != nil {
				return err
			}
			if !a.ClientTerminalStatus() {
				return fmt.Errorf("%s is %s", id, a.ClientStatus)
			}
		}
		return nil
	})
}
