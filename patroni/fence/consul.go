package fence

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// ConsulSessions are those that Patroni makes for one member of a scope.
type ConsulSessions struct {
	Client        *api.Client
	Scope, Member string
}

// Release ends every session that bears the member's name. Consul deletes the keys that
// they held, the leader's among them, and the standbys, who wait for that, wake up.
func (c ConsulSessions) Release(ctx context.Context) (ended int, err error) {
	sessions, _, err := c.Client.Session().List((&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return 0, fmt.Errorf("list the sessions: %w", err)
	}
	var problems []error
	for _, s := range sessions {
		if s.Name != c.Scope+"-"+c.Member {
			continue
		}
		if _, err := c.Client.Session().Destroy(s.ID, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			problems = append(problems, fmt.Errorf("end session %s: %w", s.ID, err))
			continue
		}
		ended++
	}
	return ended, errors.Join(problems...)
}

// Leads says whether the leader's key names the member and a session stands behind it.
func (c ConsulSessions) Leads(ctx context.Context) (bool, error) {
	key := "service/" + c.Scope + "/leader"
	pair, _, err := c.Client.KV().Get(key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return pair != nil && pair.Session != "" && string(pair.Value) == c.Member, nil
}
