package rotate

import (
	"context"
	"fmt"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
)

// ring is the keys that the agents of one kind encrypt their gossip with. All decrypt by any of them.
type ring struct {
	agent                string
	list                 func(context.Context) (keys []held, err error)
	install, use, remove func(ctx context.Context, key string) error
}

// held is how many members of a pool have a key. Consul's servers have two pools.
type held struct {
	key           string
	have, members int
}

// gossip gives both kinds of agents a new key: everybody gets it, everybody uses it, the old ones go. The file for agents
// that join later changes as soon as all can decrypt what those send.
func (s *Shop) gossip(ctx context.Context) error {
	for _, r := range []ring{s.consulRing(), s.nomadRing()} {
		file := r.agent + ".gossip"
		key, err := s.successor(file, gossipKey)
		if err != nil {
			return err
		}
		if err := r.install(ctx, key); err != nil {
			return fmt.Errorf("give the agents of %s the key: %w", r.agent, err)
		}
		if err := s.awaitEverywhere(ctx, r, key); err != nil {
			return err
		}
		if err := r.use(ctx, key); err != nil {
			return fmt.Errorf("have the agents of %s use the key: %w", r.agent, err)
		}
		if err := s.succeed(file); err != nil {
			return err
		}
		if err := s.Machine.Settle(ctx, r.agent); err != nil {
			return err
		}
		if err := s.removeOthers(ctx, r, key); err != nil {
			return err
		}
	}
	return nil
}

// awaitEverywhere waits until every member has a key: one without would not understand the others any more.
func (s *Shop) awaitEverywhere(ctx context.Context, r ring, key string) error {
	wait := console.Wait{For: "the key at every agent of " + r.agent, Limit: time.Minute, Hint: "an agent that is gone for good leaves by 'force-leave'"}
	return s.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		keys, err := r.list(ctx)
		if err != nil {
			return "", err
		}
		left := "no agent has it"
		for _, k := range keys {
			if k.key != key {
				continue
			}
			if k.have < k.members {
				return fmt.Sprintf("%d of %d have it", k.have, k.members), nil
			}
			left = ""
		}
		return left, nil
	})
}

func (s *Shop) removeOthers(ctx context.Context, r ring, key string) error {
	keys, err := r.list(ctx)
	if err != nil {
		return err
	}
	others := map[string]bool{}
	for _, k := range keys {
		others[k.key] = k.key != key
	}
	removed := 0
	for other, old := range others {
		if !old {
			continue
		}
		if err := r.remove(ctx, other); err != nil {
			return fmt.Errorf("take an old key from the agents of %s: %w", r.agent, err)
		}
		removed++
	}
	s.Out.Sayf("%s: a new key is in use, %d old ones are void", r.agent, removed)
	return nil
}

func (s *Shop) consulRing() ring {
	c := s.Cluster.Consul.Operator()
	return ring{
		agent: "consul",
		list: func(ctx context.Context) (keys []held, err error) {
			pools, err := c.KeyringList(cluster.ConsulQuery(ctx))
			for _, pool := range pools {
				for key, have := range pool.Keys {
					keys = append(keys, held{key, have, pool.NumNodes})
				}
			}
			return keys, err
		},
		install: func(ctx context.Context, key string) error { return c.KeyringInstall(key, cluster.ConsulWrite(ctx)) },
		use:     func(ctx context.Context, key string) error { return c.KeyringUse(key, cluster.ConsulWrite(ctx)) },
		remove:  func(ctx context.Context, key string) error { return c.KeyringRemove(key, cluster.ConsulWrite(ctx)) },
	}
}

func (s *Shop) nomadRing() ring {
	tell := func(what string) func(context.Context, string) error {
		return func(ctx context.Context, key string) error {
			_, err := s.Cluster.Nomad.Raw().Write("/v1/agent/keyring/"+what, nomad.KeyringRequest{Key: key}, nil, cluster.Write(ctx))
			return err
		}
	}
	return ring{
		agent: "nomad",
		list: func(ctx context.Context) (keys []held, err error) {
			var pool nomad.KeyringResponse
			_, err = s.Cluster.Nomad.Raw().Query("/v1/agent/keyring/list", &pool, cluster.Query(ctx))
			for key, have := range pool.Keys {
				keys = append(keys, held{key, have, pool.NumNodes})
			}
			return keys, err
		},
		install: tell("install"), use: tell("use"), remove: tell("remove"),
	}
}
