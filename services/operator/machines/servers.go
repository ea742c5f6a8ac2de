package machines

import (
	"context"
	"fmt"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
)

// server is a member of a quorum.
type server struct {
	id, node      string
	leads, voting bool
}

// quorum is how the servers of Consul, or of Nomad, are looked after.
type quorum struct {
	of       string
	list     func(ctx context.Context) ([]server, error)
	transfer func(ctx context.Context, heir string) error
	remove   func(ctx context.Context, id string) error
}

func (f *Fleet) quorums() [2]quorum {
	atConsul, atNomad := f.Cluster.Consul.Operator(), f.Cluster.Nomad.Operator()
	return [2]quorum{
		{
			of: "Consul",
			list: func(ctx context.Context) (all []server, err error) {
				is, err := atConsul.RaftGetConfiguration(cluster.ConsulQuery(ctx))
				if err != nil {
					return nil, err
				}
				for _, s := range is.Servers {
					all = append(all, server{s.ID, s.Node, s.Leader, s.Voter})
				}
				return all, nil
			},
			transfer: func(ctx context.Context, heir string) error {
				_, err := atConsul.RaftLeaderTransfer(heir, cluster.ConsulQuery(ctx))
				return err
			},
			remove: func(ctx context.Context, id string) error {
				return atConsul.RaftRemovePeerByID(id, cluster.ConsulWrite(ctx))
			},
		},
		{
			of: "Nomad",
			list: func(ctx context.Context) (all []server, err error) {
				is, err := atNomad.RaftGetConfiguration(cluster.Query(ctx))
				if err != nil {
					return nil, err
				}
				for _, s := range is.Servers {
					all = append(all, server{s.ID, s.Node, s.Leader, s.Voter})
				}
				return all, nil
			},
			transfer: func(ctx context.Context, heir string) error {
				return atNomad.RaftTransferLeadershipByID(heir, cluster.Write(ctx))
			},
			remove: func(ctx context.Context, id string) error { return atNomad.RaftRemovePeerByID(id, cluster.Write(ctx)) },
		},
	}
}

// agents are the agents of Consul and Nomad on one machine, as the others know them.
type agents struct {
	name   string
	self   bool      // they are the ones that are asked
	alive  bool      // one of them answers its peers
	gossip [2]string // what Consul and Nomad call it; none: not known
	server [2]string // its IDs in the quorums; none: no server
	all    [2]int    // how many servers each has
	others [2]int    // of them those that are alive, without this one
}

func (a agents) known() bool { return a.gossip != [2]string{} }

// statusAlive is of a member of Consul's gossip, by its protocol (serf); Nomad says it in a word.
const statusAlive = 1

// agents asks who is in the gossip and in the quorums.
func (f *Fleet) agents(ctx context.Context, name string) (a agents, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	a.name = name
	own, err := f.Cluster.Consul.Agent().NodeName()
	if err != nil {
		return a, fmt.Errorf("ask Consul's agent for its name: %w", err)
	}
	a.self = own == name
	alive := [2]map[string]bool{{}, {}}
	atConsul, err := f.Cluster.Consul.Agent().Members(false)
	if err != nil {
		return a, fmt.Errorf("list Consul's agents: %w", err)
	}
	for _, m := range atConsul {
		alive[0][m.Name] = m.Status == statusAlive
		if m.Name == name {
			a.gossip[0] = m.Name
		}
	}
	atNomad, err := f.Cluster.Nomad.Agent().MembersOpts(cluster.Query(ctx))
	if err != nil {
		return a, fmt.Errorf("list Nomad's servers: %w", err)
	}
	for _, m := range atNomad.Members {
		alive[1][m.Name] = m.Status == "alive"
		if m.Name == name+"."+m.Tags["region"] {
			a.gossip[1] = m.Name
		}
	}
	for i, q := range f.quorums() {
		servers, err := q.list(ctx)
		if err != nil {
			return a, fmt.Errorf("list %s's servers: %w", q.of, err)
		}
		a.all[i] = len(servers)
		a.alive = a.alive || alive[i][a.gossip[i]]
		for _, s := range servers {
			switch {
			case a.gossip[i] != "" && s.node == a.gossip[i]:
				a.server[i] = s.id
			case alive[i][s.node]:
				a.others[i]++
			}
		}
	}
	return a, nil
}

// mayGo is an error where the others could not do without the machine's agents, and says how many more of its servers they can do
// without.
func (f *Fleet) mayGo(a agents) error {
	if a.self {
		return fmt.Errorf("this is %s itself: run this on another machine, which stays", a.name)
	}
	for i, q := range f.quorums() {
		if a.server[i] == "" {
			continue
		}
		left := a.all[i] - 1
		if a.others[i] <= a.all[i]/2 {
			return fmt.Errorf("without %s only %d of %s's %d servers would be alive, which is no majority: start the others, or add a server first", a.name, a.others[i], q.of, a.all[i])
		}
		if left%2 == 0 {
			f.Out.Sayf("warning: %s has %d servers then, and does without %d of them: add a server, so that the number is odd", q.of, left, (left-1)/2)
		}
	}
	return nil
}

// abdicate has a server elsewhere lead where this machine's does: its end is no election then.
func (f *Fleet) abdicate(ctx context.Context, a agents) error {
	for i, q := range f.quorums() {
		if a.server[i] == "" {
			continue
		}
		err := f.until(ctx, "another leader of "+q.of+"'s servers", func(ctx context.Context) error {
			servers, err := q.list(ctx)
			heir, leads := "", false
			for _, s := range servers {
				switch {
				case s.id == a.server[i]:
					leads = s.leads
				case s.voting:
					heir = s.id
				}
			}
			if err != nil || !leads {
				return err
			}
			if err := q.transfer(ctx, heir); err != nil {
				return err
			}
			return fmt.Errorf("%s is told to hand over", a.name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// expel has Consul and Nomad take agents that are gone for ones that left, and their servers for none of the quorum.
func (f *Fleet) expel(ctx context.Context, a agents) error {
	leave := [2]func(ctx context.Context) error{
		func(ctx context.Context) error {
			return f.Cluster.Consul.Agent().ForceLeaveOptions(a.gossip[0], consul.ForceLeaveOpts{Prune: true}, cluster.ConsulQuery(ctx))
		},
		func(context.Context) error {
			return f.Cluster.Nomad.Agent().ForceLeaveWithOptions(a.gossip[1], nomad.ForceLeaveOpts{Prune: true})
		},
	}
	for i, q := range f.quorums() {
		if a.gossip[i] != "" {
			if err := f.until(ctx, "the leave from "+q.of, leave[i]); err != nil {
				return err
			}
		}
		if a.server[i] == "" {
			continue
		}
		err := f.until(ctx, "the leave from the quorum of "+q.of, func(ctx context.Context) error {
			servers, err := q.list(ctx)
			for _, s := range servers {
				if s.id == a.server[i] {
					return q.remove(ctx, s.id)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
