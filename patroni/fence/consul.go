package fence

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

// ConsulSessions are those that Patroni makes for one member of a scope.
type ConsulSessions struct {
	Client        *api.Client
	Scope, Member string
}

// Release ends every session that bears the member's name. Consul deletes the keys that
// they held, the leader's among them, and the standbys, who wait for that, wake up.
//
// Before, it leaves word of those sessions: who leads next need not make sure that nobody
// acknowledges for a member that is dead (image/followers.py). Without that word it does.
func (c ConsulSessions) Release(ctx context.Context) (ended int, err error) {
	sessions, _, err := c.Client.Session().List((&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	if err != nil {
		return 0, fmt.Errorf("list the sessions: %w", err)
	}
	var own []string
	for _, s := range sessions {
		if s.Name == c.Scope+"-"+c.Member {
			own = append(own, s.ID)
		}
	}
	if len(own) == 0 {
		return 0, nil
	}
	var problems []error
	word := &api.KVPair{Key: "service/" + c.Scope + "/ended/" + c.Member, Value: []byte(strings.Join(own, " "))}
	if _, err := c.Client.KV().Put(word, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		problems = append(problems, fmt.Errorf("leave word of the sessions' end: %w", err))
	}
	for _, id := range own {
		if _, err := c.Client.Session().Destroy(id, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			problems = append(problems, fmt.Errorf("end session %s: %w", id, err))
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
