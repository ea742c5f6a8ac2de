package jobs_test

import (
	"testing"

	"github.com/hashicorp/nomad/api"
)

// What one machine offers all jobs together, with one rolling update on top.
const (
	budgetMHz = 5000
	budgetMiB = 6 * 1024
)

// usage is what Nomad reserves.
type usage struct{ mhz, mib int }

func (u usage) plus(o usage) usage    { return usage{u.mhz + o.mhz, u.mib + o.mib} }
func (u usage) times(n int) usage     { return usage{u.mhz * n, u.mib * n} }
func (u usage) atLeast(o usage) usage { return usage{max(u.mhz, o.mhz), max(u.mib, o.mib)} }

func of(r *api.Resources) usage {
	if r == nil || r.CPU == nil || r.MemoryMB == nil {
		return usage{}
	}
	return usage{*r.CPU, *r.MemoryMB}
}

// group is what one allocation reserves: tasks that run before or after the main ones share
// their room, sidecars run beside them.
func group(g *api.TaskGroup) usage {
	var before, during, after, beside usage
	for _, task := range g.Tasks {
		u := of(task.Resources)
		switch l := task.Lifecycle; {
		case l == nil || l.Empty():
			during = during.plus(u)
		case l.Sidecar:
			beside = beside.plus(u)
		case l.Hook == api.TaskLifecycleHookPrestart:
			before = before.plus(u)
		case l.Hook == api.TaskLifecycleHookPoststop:
			after = after.plus(u)
		default:
			during = during.plus(u)
		}
	}
	if s := sidecarTask(g); s != nil {
		beside = beside.plus(of(s.Resources))
	}
	return before.atLeast(during).atLeast(after).plus(beside)
}

func TestAllJobsFitOnOneMachine(t *testing.T) {
	t.Parallel()
	var total, rolling usage
	jobs := 0
	for _, p := range load(t) {
		if p.vars != "one.hcl" {
			continue
		}
		jobs++
		for _, g := range p.raw.TaskGroups {
			count := 1
			if g.Count != nil {
				count = *g.Count
			}
			rolling = rolling.atLeast(group(g))
			// What runs to its end waits for room, as an update's next instance does; it takes that one's place.
			if *p.full.Type != "batch" {
				total = total.plus(group(g).times(count))
			}
		}
	}
	if jobs == 0 {
		t.Fatal("no job was parsed with jobs/vars/one.hcl")
	}
	need := total.plus(rolling)
	t.Logf("%d jobs: %d MHz and %d MiB, with one rolling update %d MHz and %d MiB",
		jobs, total.mhz, total.mib, need.mhz, need.mib)
	if need.mhz > budgetMHz || need.mib > budgetMiB {
		t.Errorf("%d MHz and %d MiB are more than %d MHz and %d MiB", need.mhz, need.mib, budgetMHz, budgetMiB)
	}
}

// ruleResources: what is not stated, Nomad fills with guesses (a sidecar with 250 MHz).
func ruleResources(t *testing.T, p parsed) {
	stated := func(what string, r *api.Resources) {
		if r == nil || r.CPU == nil || r.MemoryMB == nil {
			t.Errorf("%s: cpu and memory are not both stated", what)
		}
	}
	for _, g := range p.raw.TaskGroups {
		for _, task := range g.Tasks {
			stated("task "+task.Name, task.Resources)
		}
		if s := sidecarTask(g); s != nil {
			stated("sidecar of "+*g.Name, s.Resources)
		}
	}
}
