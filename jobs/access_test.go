package jobs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fromConsul matches what a template asks Consul.
var fromConsul = regexp.MustCompile(`\b(service|services|key|keyOrDefault|ls|caRoots|caLeaf|node|nodes)\b`)

// Nomad renders a template that asks Consul with the task's token only where the task has a consul block; without, it
// would take its own, which may do more.
func TestEachTaskHasItsOwnTokenOfConsul(t *testing.T) {
	t.Parallel()
	roles, policies := policyNames(t, "acl/consul"), policyNames(t, "acl/nomad")
	var wantRoles, wantPolicies []string
	for _, p := range load(t) {
		if p.vars != "" {
			continue
		}
		for _, group := range p.raw.TaskGroups {
			for _, task := range group.Tasks {
				name := *p.raw.ID + "-" + task.Name
				asks := false
				for _, template := range task.Templates {
					asks = asks || template.EmbeddedTmpl != nil && asksConsul(*template.EmbeddedTmpl)
				}
				if asks && task.Consul == nil {
					t.Errorf("%s asks Consul and has no consul block", name)
				}
				if task.Consul != nil {
					wantRoles = append(wantRoles, name)
				}
				if task.Identity != nil && task.Identity.Env {
					if *group.Name != *p.raw.ID {
						name = *p.raw.ID + "-" + *group.Name + "-" + task.Name
					}
					wantPolicies = append(wantPolicies, name)
				}
			}
		}
	}
	slices.Sort(wantRoles)
	wantRoles = slices.Compact(wantRoles) // Consul knows no groups: tasks of one name have one role
	slices.Sort(wantPolicies)
	if !slices.Equal(roles, wantRoles) {
		t.Errorf("jobs/acl/consul has %v, the tasks with a consul block are %v", roles, wantRoles)
	}
	if !slices.Equal(policies, wantPolicies) {
		t.Errorf("jobs/acl/nomad has %v, the tasks with an identity for Nomad's API are %v", policies, wantPolicies)
	}
}

func asksConsul(template string) bool {
	return slices.ContainsFunc(regexp.MustCompile(`(?s)\{\{.*?\}\}`).FindAllString(template, -1), fromConsul.MatchString)
}

func policyNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, file := range glob(t, dir+"/*.hcl") {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".hcl"))
	}
	return names
}
