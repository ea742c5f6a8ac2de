package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/platform/nomadexec"
)

// ErrNoJob says that Nomad has no job of that name.
var ErrNoJob = errors.New("there is no such job")

// Host is a machine that takes work: a node of Nomad.
type Host struct{ ID, Name string }

// Hosts are the nodes that take work, in the order of their names: an ID is random, and another after each new installation.
func (c *Cluster) Hosts(ctx context.Context) ([]Host, error) {
	all, _, err := c.Nomad.Nodes().List(Query(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	var ready []Host
	for _, node := range all {
		if node.Status == nomad.NodeStatusReady && node.SchedulingEligibility == nomad.NodeSchedulingEligible {
			ready = append(ready, Host{ID: node.ID, Name: node.Name})
		}
	}
	slices.SortFunc(ready, func(a, b Host) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return ready, nil
}

// Addresses are those of the nodes that take work, by which others reach what runs on them.
func (c *Cluster) Addresses(ctx context.Context) ([]net.IP, error) {
	hosts, err := c.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	addresses := make([]net.IP, 0, len(hosts))
	for _, host := range hosts {
		node, _, err := c.Nomad.Nodes().Info(host.ID, Query(ctx))
		if err != nil {
			return nil, fmt.Errorf("read the node %s: %w", host.Name, err)
		}
		ip := net.ParseIP(node.Attributes["unique.network.ip-address"])
		if ip == nil {
			return nil, fmt.Errorf("the node %s has no address", host.Name)
		}
		addresses = append(addresses, ip)
	}
	return addresses, nil
}

// Meshed tells whether every node that takes work knows its Consul agent. Nomad places no service with a sidecar on one
// that does not, and looks for the agent every 15 s.
func (c *Cluster) Meshed(ctx context.Context) (bool, error) {
	hosts, err := c.Hosts(ctx)
	for _, host := range hosts {
		node, _, err := c.Nomad.Nodes().Info(host.ID, Query(ctx))
		if err != nil {
			return false, fmt.Errorf("read the node %s: %w", host.Name, err)
		}
		if port := node.Attributes["consul.grpc"]; port == "" || port == "-1" {
			return false, nil
		}
	}
	return len(hosts) > 0, err
}

// Job is a job as Nomad has it, or ErrNoJob.
func (c *Cluster) Job(ctx context.Context, name string) (*nomad.Job, error) {
	job, _, err := c.Nomad.Jobs().Info(name, Query(ctx))
	switch {
	case missing(err):
		return nil, fmt.Errorf("job %s: %w", name, ErrNoJob)
	case err != nil:
		return nil, fmt.Errorf("read the job %s: %w", name, err)
	}
	return job, nil
}

// Jobs are the jobs of the shop, without the runs of those that run by the clock.
func (c *Cluster) Jobs(ctx context.Context) ([]*nomad.JobListStub, error) {
	all, _, err := c.Nomad.Jobs().List(Query(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the jobs: %w", err)
	}
	return slices.DeleteFunc(all, func(j *nomad.JobListStub) bool { return j.ParentID != "" }), nil
}

// Runs are the runs of a job that runs by the clock, the newest last.
func (c *Cluster) Runs(ctx context.Context, job string) ([]*nomad.JobListStub, error) {
	options := Query(ctx)
	options.Prefix = job + "/"
	runs, _, err := c.Nomad.Jobs().List(options)
	if err != nil {
		return nil, fmt.Errorf("list the runs of %s: %w", job, err)
	}
	slices.SortFunc(runs, func(a, b *nomad.JobListStub) int { return cmp.Compare(a.SubmitTime, b.SubmitTime) })
	return runs, nil
}

// Allocations are a job's, the newest last.
func (c *Cluster) Allocations(ctx context.Context, job string) ([]*nomad.AllocationListStub, error) {
	all, _, err := c.Nomad.Jobs().Allocations(job, false, Query(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the allocations of %s: %w", job, err)
	}
	slices.SortFunc(all, func(a, b *nomad.AllocationListStub) int { return cmp.Compare(a.CreateIndex, b.CreateIndex) })
	return all, nil
}

// Running are those of a job's allocations that run and are to, the oldest first.
func (c *Cluster) Running(ctx context.Context, job string) ([]*nomad.AllocationListStub, error) {
	all, err := c.Allocations(ctx, job)
	return slices.DeleteFunc(all, func(a *nomad.AllocationListStub) bool {
		return a.ClientStatus != nomad.AllocClientStatusRunning || a.DesiredStatus != nomad.AllocDesiredStatusRun
	}), err
}

// Exec runs a command, which may run twice (nomadexec.Run), in a task and returns what it says on its standard output.
func (c *Cluster) Exec(ctx context.Context, allocation, task string, command ...string) (string, error) {
	result, err := nomadexec.Run(ctx, c.Nomad, &nomad.Allocation{ID: allocation}, task, command...)
	if err == nil && result.Exit != 0 {
		err = fmt.Errorf("status %d: %s", result.Exit, strings.TrimSpace(result.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("run %s in %s: %w", command[0], task, err)
	}
	return result.Stdout, nil
}

// Output copies the last lines of what a task has said on "stdout" or "stderr".
func (c *Cluster) Output(ctx context.Context, into io.Writer, allocation, task, stream string, lines int) error {
	const lineLength = 200 // on average, and generously: what is too much is cut off
	text, err := c.End(ctx, allocation, task, stream, lines*lineLength)
	if err != nil {
		return err
	}
	all := strings.SplitAfter(string(text), "\n")
	_, err = io.WriteString(into, strings.Join(all[max(0, len(all)-1-lines):], ""))
	return err
}

// End is the last bytes of what a task has said on "stdout" or "stderr", at most as many as most.
func (c *Cluster) End(ctx context.Context, allocation, task, stream string, most int) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	frames, errs := c.Nomad.AllocFS().Logs(&nomad.Allocation{ID: allocation}, false, task, stream, nomad.OriginEnd, int64(most), ctx.Done(), Query(ctx))
	var text []byte
	for {
		select {
		case err := <-errs:
			return text, err
		case <-ctx.Done():
			return text, ctx.Err()
		case frame, more := <-frames:
			if !more {
				return text, nil
			}
			text = append(text, frame.Data...)
		}
	}
}

// Signal sends a signal to a task of a job, in all allocations that run, and returns how many there are.
func (c *Cluster) Signal(ctx context.Context, job, task, signal string) (int, error) {
	running, err := c.Running(ctx, job)
	if err != nil {
		return 0, err
	}
	for i, a := range running {
		if err := c.Nomad.Allocations().Signal(&nomad.Allocation{ID: a.ID}, Query(ctx), task, signal); err != nil {
			return i, fmt.Errorf("send %s to %s: %w", signal, a.Name, err)
		}
	}
	return len(running), nil
}
