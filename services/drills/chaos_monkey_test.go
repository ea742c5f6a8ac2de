//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// monkey does harm to the running shop, one trick after the other. What it froze it thaws.
type monkey struct {
	t      *testing.T
	random *rand.Rand
	tricks []trick
	kills  map[string]int // of each allocation
}

// trick is a way of doing harm.
type trick struct {
	name string
	odds int
	play func(ctx context.Context, m *monkey) (what string, err error)
}

// chaosJobs are those whose instances are harmed; each has two.
var chaosJobs = []string{"coordinator", "books", "orders", "payments"}

var tricks = []trick{
	{"kill an instance", 6, func(ctx context.Context, m *monkey) (string, error) {
		p, err := m.instance(ctx)
		if err != nil {
			return "", err
		}
		return m.kill(p)
	}},
	{"freeze an instance", 6, func(ctx context.Context, m *monkey) (string, error) {
		p, err := m.instance(ctx)
		if err != nil {
			return "", err
		}
		return m.freeze(ctx, p)
	}},
	{"stop an allocation", 1, func(ctx context.Context, m *monkey) (string, error) {
		return m.order(ctx, "stop", func(a *nomad.Allocation, q *nomad.QueryOptions) error {
			_, err := cluster.Nomad(m.t).Allocations().Stop(a, q)
			return err
		})
	}},
	{"restart an allocation", 1, func(ctx context.Context, m *monkey) (string, error) {
		return m.order(ctx, "restart", func(a *nomad.Allocation, q *nomad.QueryOptions) error {
			return cluster.Nomad(m.t).Allocations().Restart(a, "", q)
		})
	}},
	{"kill the leader", 1, func(ctx context.Context, m *monkey) (string, error) {
		p, err := m.leader(ctx)
		if err != nil {
			return "", err
		}
		return m.kill(p)
	}},
	{"freeze the leader", 2, func(ctx context.Context, m *monkey) (string, error) {
		p, err := m.leader(ctx)
		if err != nil {
			return "", err
		}
		return m.freeze(ctx, p)
	}},
}

// prey is an allocation that is harmed.
type prey struct{ job, id string }

// container is the name that Nomad gives to the container of the allocation's main task.
func (p prey) container() string { return cluster.Container(p.job, p.id) }

// mostKills is below what Nomad restarts at once: more, and it waits for a minute or two.
const mostKills = 3

// instance draws an allocation of a service.
func (m *monkey) instance(ctx context.Context) (prey, error) {
	job := chaosJobs[m.random.IntN(len(chaosJobs))]
	running, err := cluster.Allocations(ctx, m.t, job)
	if err != nil || len(running) == 0 {
		return prey{}, fmt.Errorf("%d of %s run: %w", len(running), job, err)
	}
	return prey{job, running[m.random.IntN(len(running))].ID}, nil
}

// leader is PostgreSQL's, while none of its standbys is missing: with fewer than two,
// nothing would be acknowledged for as long as one takes to come back.
func (m *monkey) leader(ctx context.Context) (prey, error) {
	if err := cluster.PostgresWhole(ctx, m.t); err != nil {
		return prey{}, err
	}
	list, err := cluster.Members(ctx, m.t)
	if err != nil {
		return prey{}, err
	}
	for _, p := range list {
		if p.Leads() && p.Alloc != "" {
			return prey{"patroni", p.Alloc}, nil
		}
	}
	return prey{}, errors.New("there is no leader")
}

// order has Nomad do something about an allocation.
func (m *monkey) order(ctx context.Context, verb string, do func(*nomad.Allocation, *nomad.QueryOptions) error) (string, error) {
	p, err := m.instance(ctx)
	if err != nil {
		return "", err
	}
	options := (&nomad.QueryOptions{}).WithContext(ctx)
	alloc, _, err := cluster.Nomad(m.t).Allocations().Info(p.id, options)
	if err != nil {
		return "", err
	}
	return verb + " " + p.container(), do(alloc, options)
}

func (m *monkey) kill(p prey) (string, error) {
	if m.kills[p.id] >= mostKills {
		return "", fmt.Errorf("%s has been killed %d times", p.container(), mostKills)
	}
	m.kills[p.id]++
	_, err := cluster.Kill(nil, p.container())
	return "kill " + p.container(), err
}

// freeze stops every process of a container where it is, for one to five seconds.
func (m *monkey) freeze(ctx context.Context, p prey) (string, error) {
	frozen, err := cluster.Freeze(p.container())
	defer frozen.Thaw()
	if err != nil {
		return "", err
	}
	d := time.Second + time.Duration(m.random.Int64N(int64(4*time.Second)))
	shoptest.Rest(ctx, d)
	return fmt.Sprintf("freeze %s for %.1f s", p.container(), d.Seconds()), nil
}

// run plays tricks until ctx ends; then nothing is frozen any more.
func (m *monkey) run(ctx context.Context) {
	var hat []trick
	for _, k := range m.tricks {
		for range k.odds {
			hat = append(hat, k)
		}
	}
	start := time.Now()
	for ctx.Err() == nil {
		k, at := hat[m.random.IntN(len(hat))], time.Since(start).Seconds()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), trickLimit)
		what, err := k.play(bounded, m)
		cancel()
		if err != nil {
			what = fmt.Sprintf("failed to %s: %v", k.name, err)
		}
		m.t.Logf("%5.1f s: %s", at, what)
		shoptest.Rest(ctx, time.Second+time.Duration(m.random.Int64N(int64(3*time.Second))))
	}
}

// trickLimit bounds one trick.
const trickLimit = 20 * time.Second
