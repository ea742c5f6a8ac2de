package machines

import (
	"context"
	"fmt"
	"slices"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/provide"
)

// resting is Consul's key with the node that takes no work while something moves from it: a run that was broken off is found by it.
const resting = "machines/resting"

// patience are the longest waits: for an instance to stop, to be placed, and for a member to have copied the database.
const (
	stopWithin  = 2 * time.Minute
	placeWithin = 3 * time.Minute
	copyWithin  = time.Hour
	healWithin  = 10 * time.Minute // of what is broken before anything is moved
	writeWithin = time.Minute      // Nomad or Consul may be electing a leader
)

// restore makes volumes that are missing, as one that a run had removed when it was broken off, and what every machine has, and has
// Nomad start what goes there.
func (f *Fleet) restore(ctx context.Context) error {
	made, err := provide.Volumes(ctx, f.Cluster, 0)
	if made > 0 {
		f.Out.Sayf("%d volumes made", made)
	}
	for _, job := range jobs {
		if err == nil {
			_, _, err = f.Cluster.Nomad.Jobs().ForceEvaluate(job, cluster.Write(ctx))
		}
	}
	return err
}

// until repeats what may fail for a moment.
func (f *Fleet) until(ctx context.Context, what string, do func(context.Context) error) error {
	wait := console.Wait{For: what, Limit: writeWithin, Hint: "run this again when Nomad and Consul answer", Every: time.Second}
	return f.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		if err := do(ctx); err != nil {
			return err.Error(), nil
		}
		return "", nil
	})
}

// takesWork says whether Nomad may place anything on a node.
func (f *Fleet) takesWork(ctx context.Context, node string, so bool) error {
	return f.until(ctx, "the node's eligibility", func(ctx context.Context) error {
		_, err := f.Cluster.Nomad.Nodes().ToggleEligibility(node, so, cluster.Write(ctx))
		return err
	})
}

// rest has a node take no work until wake.
func (f *Fleet) rest(ctx context.Context, node string) error {
	err := f.until(ctx, "the note that the node rests", func(ctx context.Context) error {
		_, err := f.Cluster.Consul.KV().Put(&consul.KVPair{Key: resting, Value: []byte(node)}, cluster.ConsulWrite(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return f.takesWork(ctx, node, false)
}

// wake has the node that rests take work again, if there is one.
func (f *Fleet) wake(ctx context.Context) error {
	var node string
	err := f.until(ctx, "which node rests", func(ctx context.Context) error {
		pair, _, err := f.Cluster.Consul.KV().Get(resting, cluster.ConsulQuery(ctx))
		if pair != nil {
			node = string(pair.Value)
		}
		return err
	})
	if err != nil || node == "" {
		return err
	}
	stubs, _, err := f.Cluster.Nomad.Nodes().List(cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("list the nodes: %w", err)
	}
	// One that is drained or was purged meanwhile is left alone.
	if slices.ContainsFunc(stubs, func(n *nomad.NodeListStub) bool { return n.ID == node && !n.Drain }) {
		if err := f.takesWork(ctx, node, true); err != nil {
			return err
		}
	}
	return f.until(ctx, "the note that no node rests", func(ctx context.Context) error {
		_, err := f.Cluster.Consul.KV().Delete(resting, cluster.ConsulWrite(ctx))
		return err
	})
}

// move has an instance follow another volume of its name, on another machine. The one before is removed first: two would be one
// member twice. Meanwhile its machine takes no work, or Nomad would start the instance there again.
func (f *Fleet) move(ctx context.Context, s *state, m move) error {
	begin := time.Now()
	f.Out.Stagef("%s: from %s to %s", m.volume(), s.names[m.from], s.names[m.to])
	rests := slices.Contains(s.hosts, m.from)
	if rests {
		if err := f.rest(ctx, m.from); err != nil {
			return err
		}
	}
	lost := !s.up(m.from)
	if !lost {
		if err := f.stop(ctx, m); err != nil {
			return err
		}
	}
	for _, v := range s.volumes {
		if v.Name == m.volume() {
			if err := provide.RemoveVolume(ctx, f.Cluster, f.Out, v, lost); err != nil {
				return err
			}
		}
	}
	err := f.until(ctx, "the volume "+m.volume(), func(ctx context.Context) error { return provide.Home(ctx, f.Cluster, m.job, m.index, m.to) })
	if err == nil && rests {
		err = f.wake(ctx)
	}
	if err == nil {
		err = f.awaitPlaced(ctx, m)
	}
	if err == nil {
		err = f.awaitWhole(ctx, m.job, copyWithin)
	}
	if err == nil {
		f.Out.Sayf("%s is at work on %s after %.0f s", m.volume(), s.names[m.to], time.Since(begin).Seconds())
	}
	return err
}

// allocation is the newest of an instance that is to run; nil if there is none.
func (f *Fleet) allocation(ctx context.Context, i instance) (newest *nomad.AllocationListStub, err error) {
	all, err := f.Cluster.Allocations(ctx, i.job)
	for _, a := range all {
		if a.Name == provide.PerInstance(i.job+"."+i.job, i.index) && a.DesiredStatus == nomad.AllocDesiredStatusRun {
			newest = a
		}
	}
	return newest, err
}

// stop ends an instance on its machine.
func (f *Fleet) stop(ctx context.Context, m move) error {
	var id string
	wait := console.Wait{For: "the end of " + m.volume(), Limit: stopWithin, Hint: "'go tool task logs -- " + m.job + "' shows why", Every: 2 * time.Second}
	return f.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		now, err := f.allocation(ctx, m.instance)
		if err != nil {
			return err.Error(), nil //nolint:nilerr // the next look may be answered
		}
		if now != nil && now.NodeID == m.from {
			id = now.ID
			if _, err := f.Cluster.Nomad.Allocations().Stop(&nomad.Allocation{ID: id}, cluster.Query(ctx)); err != nil {
				return err.Error(), nil //nolint:nilerr // the next try may succeed
			}
			return "it is told to stop", nil
		}
		if id == "" {
			return "", nil // it was stopped before
		}
		old, _, err := f.Cluster.Nomad.Allocations().Info(id, cluster.Query(ctx))
		if err != nil {
			return err.Error(), nil //nolint:nilerr // as above
		}
		if !old.ClientTerminalStatus() {
			return "it stops", nil
		}
		return "", nil
	})
}

// awaitPlaced waits until an instance runs on the machine with its volume. Nomad looks anew when it is told to.
func (f *Fleet) awaitPlaced(ctx context.Context, m move) error {
	var told time.Time
	wait := console.Wait{For: "the start of " + m.volume(), Limit: placeWithin, Hint: "put right what keeps it from starting there (does the machine have the images of the jobs that run?) and run this again, or take the machine away"}
	return f.Out.Wait(ctx, wait, func(ctx context.Context) (string, error) {
		now, err := f.allocation(ctx, m.instance)
		switch {
		case err != nil:
			return err.Error(), nil //nolint:nilerr // the next look may be answered
		case now != nil && now.NodeID == m.to && now.ClientStatus == nomad.AllocClientStatusRunning:
			return "", nil
		case now != nil:
			return "it is " + now.ClientStatus + trouble(now), nil
		}
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			if _, _, err := f.Cluster.Nomad.Jobs().ForceEvaluate(m.job, cluster.Write(ctx)); err != nil {
				return err.Error(), nil //nolint:nilerr // as above
			}
		}
		return "Nomad places it", nil
	})
}

// trouble is why a task of an allocation did not start when it was tried last, such as an image that the machine does not have.
func trouble(a *nomad.AllocationListStub) string {
	for _, task := range a.TaskStates {
		for _, event := range slices.Backward(task.Events) {
			if event.Type == nomad.TaskDriverFailure || event.Type == nomad.TaskSetupFailure {
				return ": " + event.DisplayMessage
			}
		}
	}
	return ""
}
