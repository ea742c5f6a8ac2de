package machines

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/provide"
)

// fewest is how many machines the shop is on at least: an instance of each service on one of its own.
const fewest = 2

const (
	drainDeadline = 5 * time.Minute // after which Nomad stops what is left
	drainWithin   = drainDeadline + time.Minute
	noticedWithin = 15 * time.Second // after which a machine that went off is silent to Consul and to Nomad
	downWithin    = 3 * time.Minute  // from the end of a machine until Nomad says that it is down
)

// Remove takes a machine away for good. While it runs all that is on it goes elsewhere; once it has been switched off another run
// has the others forget it. lost says that it is off for good already, with what was on it. Broken off, it is simply run again.
func (f *Fleet) Remove(ctx context.Context, name string, lost bool) error {
	agents, err := f.agents(ctx, name)
	if err != nil {
		return err
	}
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	m, worker := s.machine(name)
	if !worker && !agents.known() {
		return fmt.Errorf("there is no machine %s: 'go tool shop machine list' shows all", name)
	}
	if err := f.mayGo(agents); err != nil {
		return err
	}
	if lost {
		if err := f.awaitDown(ctx, name); err != nil {
			return err
		}
		s = f.seen
		m, worker = s.machine(name)
	}
	emptied := !m.Eligible && len(s.on(m.ID)) == 0 // by a run before, perhaps
	if worker {
		if err := f.empty(ctx, s, m, lost); err != nil {
			return err
		}
	}
	if agents, err = f.awaitSilence(ctx, name, emptied); err != nil {
		return err
	}
	if agents.alive {
		if err := f.abdicate(ctx, agents); err != nil {
			return err
		}
		f.Out.Linef("\n%s is empty. Switch it off, then run this again: the others forget it then.", name)
		return nil
	}
	return f.forget(ctx, name, agents)
}

// awaitSilence asks for a machine's agents. Where it may just have been switched off it gives the others the time to notice.
func (f *Fleet) awaitSilence(ctx context.Context, name string, mayBeOff bool) (a agents, err error) {
	begin := time.Now()
	wait := console.Wait{For: "word of the agents of " + name, Limit: time.Minute, Hint: "run this again", Every: time.Second}
	err = f.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		var err error
		if a, err = f.agents(ctx, name); err != nil {
			return err.Error(), nil //nolint:nilerr // Consul or Nomad may be electing a leader
		}
		if a.alive && mayBeOff && time.Since(begin) < noticedWithin {
			return name + " answers its peers", nil
		}
		return "", nil
	})
	return a, err
}

// empty has all that is on a machine go elsewhere.
func (f *Fleet) empty(ctx context.Context, s *state, m Machine, lost bool) error {
	if err := f.mayBeEmptied(ctx, s, m, lost); err != nil {
		return err
	}
	if err := f.wake(ctx); err != nil {
		return err
	}
	if err := f.takesWork(ctx, m.ID, false); err != nil {
		return err
	}
	if err := f.restore(ctx); err != nil {
		return err
	}
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	if m.Up {
		if err := f.handOver(ctx, s, m.ID, s.on(m.ID)...); err != nil {
			return err
		}
	}
	moved, err := f.moveAll(ctx, func(s *state) ([]move, error) { return s.leave(m.ID) })
	if err != nil {
		return err
	}
	if len(moved) > 0 {
		if err := f.awaitApart(ctx); err != nil {
			return err
		}
	}
	if err := f.fewer(ctx, m); err != nil {
		return err
	}
	if m.Up {
		if err := f.drain(ctx, m); err != nil {
			return err
		}
	}
	f.end(moved)
	return nil
}

// mayBeEmptied is an error where a machine cannot be taken away now. Nothing has been changed yet.
func (f *Fleet) mayBeEmptied(ctx context.Context, s *state, m Machine, lost bool) error {
	s.hosts = slices.DeleteFunc(s.hosts, func(id string) bool { return id == m.ID })
	if len(s.hosts) < fewest {
		return fmt.Errorf("without %s %d machines would take work, and the shop needs %d: add one first", m.Name, len(s.hosts), fewest)
	}
	if !m.Up && !lost && len(s.on(m.ID)) > 0 {
		return fmt.Errorf("%s is down, and members of the database or nodes of Redis are on it: start it, or say --lost where it is off for good", m.Name)
	}
	store := slices.ContainsFunc(s.volumes, func(v *nomad.HostVolumeStub) bool { return v.Name == "s3" && v.NodeID == m.ID })
	if job, err := f.Cluster.Job(ctx, "s3"); store && (err == nil && *job.TaskGroups[0].Count > 0 || err != nil && !errors.Is(err, cluster.ErrNoJob)) {
		return fmt.Errorf("%s has the store of the second backup repository (the volume s3), which nothing moves: name an S3 elsewhere first (patroni/backup/README.md)", m.Name)
	}
	if len(s.on(m.ID)) == 0 {
		return nil
	}
	if err := f.know(ctx, s); err != nil {
		return err
	}
	_, err := s.leave(m.ID)
	return err
}

// fewer gives jobs with an instance on each machine fewer of them, where they would have more than there are machines. What they
// have from then on is the next file of variables' to say.
func (f *Fleet) fewer(ctx context.Context, m Machine) error {
	s, err := f.look(ctx)
	if err != nil {
		return err
	}
	hosts := len(s.hosts)
	all, err := f.Cluster.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, stub := range all {
		job, err := f.Cluster.Job(ctx, stub.ID)
		if err != nil {
			return err
		}
		for _, group := range job.TaskGroups {
			if job.Stop != nil && *job.Stop || !apart(job, group) || *group.Count <= hosts {
				continue
			}
			f.Out.Sayf("%s: %d instances in place of %d, one on each machine; the file of variables (BOOKSTORE_VARS) is to say so too", *group.Name, hosts, *group.Count)
			err := f.until(ctx, "the number of instances of "+*group.Name, func(ctx context.Context) error {
				_, _, err := f.Cluster.Nomad.Jobs().Scale(*job.ID, *group.Name, &hosts, m.Name+" goes", false, nil, cluster.Write(ctx))
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// apart tells whether a group's instances are on distinct hosts.
func apart(job *nomad.Job, group *nomad.TaskGroup) bool {
	distinct := func(c *nomad.Constraint) bool {
		return c.Operand == nomad.ConstraintDistinctHosts && c.RTarget != "false"
	}
	return slices.ContainsFunc(job.Constraints, distinct) || slices.ContainsFunc(group.Constraints, distinct)
}

// drain has Nomad place elsewhere what is left on a machine, one instance of a job after the other.
func (f *Fleet) drain(ctx context.Context, m Machine) error {
	f.Out.Stagef("%s is drained", m.Name)
	err := f.until(ctx, "the drain's begin", func(ctx context.Context) error {
		_, err := f.Cluster.Nomad.Nodes().UpdateDrainOpts(m.ID, &nomad.DrainOptions{DrainSpec: &nomad.DrainSpec{Deadline: drainDeadline}}, cluster.Write(ctx))
		return err
	})
	if err != nil {
		return err
	}
	wait := console.Wait{For: "the drain of " + m.Name, Limit: drainWithin, Hint: "'nomad node status " + m.ID + "' shows what is left", Every: time.Second}
	return f.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		node, _, err := f.Cluster.Nomad.Nodes().Info(m.ID, cluster.Query(ctx))
		if err != nil {
			return err.Error(), nil //nolint:nilerr // the next look may be answered
		}
		all, _, err := f.Cluster.Nomad.Nodes().Allocations(m.ID, cluster.Query(ctx))
		if err != nil {
			return err.Error(), nil //nolint:nilerr // as above
		}
		var left []string
		for _, a := range all {
			if !a.ClientTerminalStatus() {
				left = append(left, a.Name)
			}
		}
		if node.DrainStrategy != nil || len(left) > 0 {
			slices.Sort(left)
			return fmt.Sprintf("%d instances are there still: %s", len(left), strings.Join(left, ", ")), nil
		}
		return "", nil
	})
}

// forget has the others know a machine that is off no more: its servers leave their quorum, its volumes and its node are removed.
func (f *Fleet) forget(ctx context.Context, name string, agents agents) error {
	f.Out.Stagef("%s is forgotten", name)
	if err := f.expel(ctx, agents); err != nil {
		return err
	}
	if err := f.awaitDown(ctx, name); err != nil {
		return err
	}
	for _, m := range f.seen.machines {
		if m.Name == name {
			if err := f.purge(ctx, m); err != nil {
				return err
			}
		}
	}
	// The warehouse is made on another machine from now on, where it was made on this one.
	if err := f.until(ctx, "the warehouse's host", func(ctx context.Context) error { return provide.WarehouseHome(ctx, f.Cluster) }); err != nil {
		return err
	}
	f.Out.Sayf("nobody knows %s any more", name)
	return nil
}

// awaitDown waits until Nomad has noticed that a machine is off.
func (f *Fleet) awaitDown(ctx context.Context, name string) error {
	down := console.Wait{For: "Nomad's word that " + name + " is down", Limit: downWithin, Hint: "run this again", Every: time.Second}
	return f.Out.Wait(ctx, down, func(ctx context.Context) (string, error) {
		s, err := f.look(ctx)
		if err != nil {
			return err.Error(), nil //nolint:nilerr // Nomad may be electing a leader
		}
		if m, ok := s.machine(name); ok && m.Up {
			return "it is " + nomad.NodeStatusReady + " still", nil
		}
		return "", nil
	})
}

// purge has Nomad forget a node that is down, and its volumes.
func (f *Fleet) purge(ctx context.Context, m Machine) error {
	for _, v := range f.seen.volumes {
		if v.NodeID == m.ID {
			if err := provide.RemoveVolume(ctx, f.Cluster, f.Out, v, true); err != nil {
				return err
			}
		}
	}
	return f.until(ctx, "the removal of the node", func(ctx context.Context) error {
		_, _, err := f.Cluster.Nomad.Nodes().Purge(m.ID, cluster.Query(ctx))
		return err
	})
}

// purgeFormer has Nomad forget the former nodes of machines that were installed anew: each is down, has nothing, and another node of
// its name is up.
func (f *Fleet) purgeFormer(ctx context.Context, s *state) error {
	for _, m := range s.machines {
		if now, _ := s.machine(m.Name); m.Up || !now.Up || len(s.on(m.ID)) > 0 {
			continue
		}
		if err := f.purge(ctx, m); err != nil {
			return err
		}
		f.Out.Sayf("the former node of %s is forgotten", m.Name)
	}
	return nil
}
