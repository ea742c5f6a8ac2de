package jobs_test

import (
	"testing"

	"github.com/hashicorp/nomad/api"
)

// severalMachines are the var-files of more than one machine, and how many hosts each is for.
var severalMachines = map[string]int{"three.hcl": 3, "many.hcl": 5}

// tied tells whether a group's instances are bound to the machines of their volumes.
func tied(g *api.TaskGroup) bool {
	for _, v := range g.Volumes {
		if v.Source != "backup" && v.Source != "warehouse" { // those are on every machine
			return true
		}
	}
	return false
}

// ruleSpread: where there are several machines, no two instances of a group share one. Members are where their volumes are,
// which services/operator/provide spreads.
func ruleSpread(t *testing.T, p parsed) {
	hosts := severalMachines[p.vars]
	for _, g := range p.full.TaskGroups {
		distinct := false
		for _, c := range append(p.full.Constraints, g.Constraints...) {
			distinct = distinct || (c.Operand == api.ConstraintDistinctHosts && c.RTarget != "false")
		}
		switch {
		case distinct && (tied(g) || *g.Count > max(1, hosts)):
			t.Errorf("group %s: its %d instances cannot be placed on %d hosts", *g.Name, *g.Count, max(1, hosts))
		case hosts > 0 && *g.Count > 1 && !tied(g) && !distinct:
			t.Errorf("group %s: no distinct_hosts with jobs/vars/%s", *g.Name, p.vars)
		case isGateway(g) && *g.Count != max(1, hosts):
			t.Errorf("%d doors on %d hosts", *g.Count, max(1, hosts))
		}
	}
}

// commits is how many members of the database are needed for commits: a leader and the two standbys that each waits for.
const commits = 3

// ruleDrains: a machine is drained in one step. What is bound to it has no replacement that Nomad could wait for, so all that
// one machine of the fewest has may stop at once; of the database enough stay for commits.
func ruleDrains(t *testing.T, p parsed) {
	hosts := severalMachines[p.vars]
	if hosts == 0 || *p.full.Type != "service" {
		return
	}
	for _, g := range p.full.TaskGroups {
		if !tied(g) {
			continue
		}
		onOne := (*g.Count + hosts - 1) / hosts
		if most := *g.Migrate.MaxParallel; most < onOne {
			t.Errorf("group %s: %d of the %d instances on one machine stop at once", *g.Name, most, onOne)
		} else if *p.raw.ID == "patroni" && *g.Count-most < commits {
			t.Errorf("group %s: of %d members %d may stop at once", *g.Name, *g.Count, most)
		}
	}
}

// ruleNotKept: nothing is kept for a machine that Nomad does not hear of. When it has booted meanwhile its agent begins all
// allocations anew (shop booted), and one that the servers still take for running would never start: Nomad 1.11 starts a task only
// from the state "pending".
func ruleNotKept(t *testing.T, p parsed) {
	for _, g := range p.raw.TaskGroups {
		if g.Disconnect != nil {
			t.Errorf("group %s is kept on a machine that is cut off: %+v", *g.Name, g.Disconnect)
		}
	}
}

// The warehouse runs on any machine; one is preferred, so that its versions follow each other there.
func TestTheWarehouseIsTiedToNoHost(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		if *p.raw.ID != "warehouse" {
			continue
		}
		for _, g := range p.full.TaskGroups {
			if len(g.Constraints)+len(p.full.Constraints) > 0 || g.Volumes["warehouse"].PerAlloc {
				t.Errorf("%s: it cannot run anywhere", p.name())
			}
			if len(g.Affinities) != 1 || g.Affinities[0].LTarget != "${meta.warehouse}" || g.Affinities[0].RTarget != "home" || *g.Affinities[0].Weight <= 0 {
				t.Errorf("%s: no machine is preferred: %+v", p.name(), g.Affinities)
			}
		}
	}
}
