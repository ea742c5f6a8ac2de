// Package machines has the members of the database and the nodes of Redis follow the machines that there are: from one that is to
// be taken away for good, and to one that was added. Each has a volume, which Nomad never moves; so a move is another, empty volume
// elsewhere, which the member fills from the leader, and the node of Redis joins anew with. One moves at a time.
package machines

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/database"
	"bookstore/services/operator/redis"
)

// Machine is a client of Nomad's.
type Machine struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Up       bool   `json:"up"`
	Eligible bool   `json:"takes_work"`
	Members  []int  `json:"members"`     // of the database, by index
	Redis    []int  `json:"redis_nodes"` // by index
	MemoryMB int64  `json:"free_mb"`     // that nothing has reserved
}

// Fleet are the machines, and what is to be done on them.
type Fleet struct {
	Cluster *cluster.Cluster
	Out     console.Console

	seen *state // last
}

// state is what Nomad knows at one moment.
type state struct {
	machines []Machine // by name
	volumes  []*nomad.HostVolumeStub
	placement
}

// lookTimeout bounds the reads of one look.
const lookTimeout = 30 * time.Second

// Machines are those that Nomad knows, by name.
func (f *Fleet) Machines(ctx context.Context) ([]Machine, error) {
	s, err := f.look(ctx)
	if err != nil {
		return nil, err
	}
	return s.machines, nil
}

// look reads who is where. It knows nothing of the database and Redis that Nomad does not know.
func (f *Fleet) look(ctx context.Context) (*state, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	s := &state{placement: placement{at: map[instance]string{}, names: map[string]string{}, room: map[string]room{}, needs: map[string]room{}}}
	stubs, _, err := f.Cluster.Nomad.Nodes().List(cluster.Query(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	for _, stub := range stubs {
		if err := f.add(ctx, s, stub); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(s.machines, func(a, b Machine) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	if s.volumes, _, err = f.Cluster.Nomad.HostVolumes().List(nil, cluster.Query(ctx)); err != nil {
		return nil, fmt.Errorf("list the volumes: %w", err)
	}
	for _, job := range jobs {
		if err := f.locate(ctx, s, job); err != nil {
			return nil, err
		}
	}
	for i, m := range s.machines {
		if m.Up && m.Eligible {
			s.hosts = append(s.hosts, m.ID)
		}
		for _, on := range s.on(m.ID) {
			if on.job == "patroni" {
				s.machines[i].Members = append(s.machines[i].Members, on.index)
			} else {
				s.machines[i].Redis = append(s.machines[i].Redis, on.index)
			}
		}
	}
	f.seen = s
	return s, nil
}

// add reads what a node is and has left.
func (f *Fleet) add(ctx context.Context, s *state, stub *nomad.NodeListStub) error {
	node, _, err := f.Cluster.Nomad.Nodes().Info(stub.ID, cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("read the node %s: %w", stub.Name, err)
	}
	allocations, _, err := f.Cluster.Nomad.Nodes().Allocations(stub.ID, cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("list the allocations on %s: %w", stub.Name, err)
	}
	left := free(node, allocations)
	s.names[node.ID], s.room[node.ID] = node.Name, left
	s.machines = append(s.machines, Machine{
		ID: node.ID, Name: node.Name, Address: node.Attributes["unique.network.ip-address"], Up: node.Status == nomad.NodeStatusReady,
		Eligible: node.SchedulingEligibility == nomad.NodeSchedulingEligible, MemoryMB: left.memory,
	})
	return nil
}

// free is what a node has that nothing on it has reserved.
func free(node *nomad.Node, allocations []*nomad.Allocation) (r room) {
	if n := node.NodeResources; n != nil {
		r = room{n.Cpu.CpuShares, n.Memory.MemoryMB, n.Disk.DiskMB}
	}
	if n := node.ReservedResources; n != nil {
		r = r.minus(room{int64(n.Cpu.CpuShares), int64(n.Memory.MemoryMB), int64(n.Disk.DiskMB)}) //nolint:gosec // of a machine
	}
	for _, a := range allocations {
		if a.ClientTerminalStatus() || a.AllocatedResources == nil {
			continue
		}
		r.disk -= a.AllocatedResources.Shared.DiskMB
		for _, task := range a.AllocatedResources.Tasks {
			r.cpu, r.memory = r.cpu-task.Cpu.CpuShares, r.memory-task.Memory.MemoryMB
		}
	}
	return r
}

// locate finds each instance of a job by its volume. One without is nowhere: a move was broken off.
func (f *Fleet) locate(ctx context.Context, s *state, name string) error {
	job, err := f.Cluster.Job(ctx, name)
	if err != nil {
		return err
	}
	group := job.TaskGroups[0]
	need := room{disk: int64(*group.EphemeralDisk.SizeMB)}
	for _, task := range group.Tasks {
		need.cpu, need.memory = need.cpu+int64(*task.Resources.CPU), need.memory+int64(*task.Resources.MemoryMB)
	}
	s.needs[name] = need
	for index := range *group.Count {
		i := instance{name, index}
		for _, v := range s.volumes {
			if v.Name != i.volume() {
				continue
			}
			if s.at[i] != "" {
				return fmt.Errorf("the volume %s is there twice, on %s and on %s: remove the one that is not used ('nomad volume status -type host', 'nomad volume delete -type host ID')", v.Name, s.names[s.at[i]], s.names[v.NodeID])
			}
			s.at[i] = v.NodeID
		}
	}
	return nil
}

// know adds to a placement what the database and Redis know: who leads, and who has the same slots.
func (f *Fleet) know(ctx context.Context, s *state) error {
	members, err := database.Members(ctx, f.Cluster)
	if err != nil {
		return err
	}
	for i := range s.at {
		if i.job == "patroni" && memberName(i.index) == database.Leader(members) {
			s.leader = i
		}
	}
	s.partner = redis.Partners(ctx, f.Cluster)
	return nil
}

// memberName is what Patroni calls the member of that index (jobs/patroni.nomad.hcl).
func memberName(index int) string { return fmt.Sprintf("patroni-%d", index) }

// machine is the one of that name or, of several, the one that is up: a machine that was installed anew has another node.
func (s *state) machine(name string) (found Machine, ok bool) {
	for _, m := range s.machines {
		if m.Name == name && (!ok || m.Up) {
			found, ok = m, true
		}
	}
	return found, ok
}

// up tells whether a node is ready.
func (s *state) up(node string) bool {
	return slices.ContainsFunc(s.machines, func(m Machine) bool { return m.ID == node && m.Up })
}
