//go:build drill

package drills

import (
	"context"
	"fmt"

	consul "github.com/hashicorp/consul/api"
)

// wanted is how many healthy instances of everything there are when nothing is missing, as
// far as a drill may take any away.
var wanted = map[string]int{"books": 2, "orders": 2, "payments": 2, "coordinator": 2, "gateway": 2, "patroni": 5, "patroni-rest": 5}

// whole is nil when nothing is missing: a leader and four replicas any of which a commit may
// wait for, every service, no circuit that is open.
func (p *platform) whole(ctx context.Context) error {
	list, err := p.members(ctx)
	if err != nil {
		return err
	}
	leaders, standbys := 0, 0
	for _, m := range list {
		switch {
		case m.Timeline != list[0].Timeline:
		case m.Role == "leader" && m.State == "running":
			leaders++
		case m.Role == "quorum_standby" && m.State == "streaming":
			standbys++
		}
	}
	if leaders != 1 || standbys != 4 {
		return fmt.Errorf("%d leaders and %d standbys: %+v", leaders, standbys, list)
	}
	for name, count := range wanted {
		options := (&consul.QueryOptions{RequireConsistent: true}).WithContext(ctx)
		entries, _, err := p.consul.Health().Service(name, "", true, options)
		if err != nil {
			return err
		}
		if len(entries) != count {
			return fmt.Errorf("%d instances of %s are healthy", len(entries), name)
		}
	}
	return p.open(ctx)
}

// open is nil when the shop's door leads everywhere. A circuit whose time is over closes
// with the next call that is answered, so each look makes some for every gateway.
func (p *platform) open(ctx context.Context) error {
	for range 6 {
		for _, path := range []string{"/books?limit=1", "/orders?customerId=nobody", "/transactions?limit=1"} {
			if _, err := p.visitor.operatorGet(ctx, path); err != nil {
				return err
			}
		}
		var health struct {
			Status   string
			Circuits map[string]string
		}
		if err := p.get(ctx, base+"/health", &health); err != nil {
			return err
		}
		for to, state := range health.Circuits {
			if state != "closed" || health.Status != "ok" {
				return fmt.Errorf("the gateway is %s, its circuit to %s is %s", health.Status, to, state)
			}
		}
	}
	return nil
}
