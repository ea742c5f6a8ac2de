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

	nomad "github.com/hashicorp/nomad/api"
)

// switchOver has Patroni hand the lead to a standby of its choice.
func switchOver(t *testing.T, s *scene) {
	address := strings.TrimSuffix(s.leader.APIURL, "/patroni") + "/switchover"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(fmt.Sprintf(`{"leader":%q}`, s.leader.Name)))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("patroni", s.rest)
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
func stopLeader(t *testing.T, s *scene) {
	if _, err := s.nomad.Allocations().Stop(&nomad.Allocation{ID: s.leader.alloc}, nil); err != nil {
		t.Fatalf("stop %s: %v", s.leader.Name, err)
	}
	eventually(t, time.Minute, "the leader's allocation has ended", func(ctx context.Context) error {
		a, _, err := s.nomad.Allocations().Info(s.leader.alloc, (&nomad.QueryOptions{}).WithContext(ctx))
		if err == nil && !a.ClientTerminalStatus() {
			err = fmt.Errorf("it is %s", a.ClientStatus)
		}
		return err
	})
}
