package jobs_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/nomad/api"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"bookstore/services/operator/provide"
)

// edge is one direction in which services may call: source → destination.
type edge struct{ source, destination string }

// upstreams are the calls that the jobs make: a sidecar's upstreams and what an ingress
// gateway listens for.
func upstreams(j *api.Job) (edges []edge) {
	for _, g := range j.TaskGroups {
		for _, s := range g.Services {
			if s.Connect == nil {
				continue
			}
			if sidecar := s.Connect.SidecarService; sidecar != nil && sidecar.Proxy != nil {
				for _, u := range sidecar.Proxy.Upstreams {
					edges = append(edges, edge{s.Name, u.DestinationName})
				}
			}
			if gw := s.Connect.Gateway; gw != nil && gw.Ingress != nil {
				for _, l := range gw.Ingress.Listeners {
					for _, target := range l.Services {
						edges = append(edges, edge{s.Name, target.Name})
					}
				}
			}
		}
	}
	return edges
}

// mesh is every config entry of jobs/mesh, by kind and name.
type mesh map[string]consul.ConfigEntry

// entries reads jobs/mesh as `shop up` and `consul config write` do.
func entries(t *testing.T) mesh {
	t.Helper()
	all := mesh{}
	for _, file := range glob(t, "mesh/*.hcl") {
		entry, err := provide.Entry(file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		requireFileName(t, file, entry)
		all[entry.GetKind()+"/"+entry.GetName()] = entry
	}
	return all
}

// Terraform's decode_tfvars reads the very same files, to the same entries: attributes alone, no blocks, no expressions.
func TestTerraformReadsTheSameEntries(t *testing.T) {
	t.Parallel()
	want := entries(t)
	for _, file := range append(glob(t, "mesh/*.hcl"), glob(t, "vars/*.hcl")...) {
		raw := attributes(t, file)
		if strings.HasPrefix(file, "vars/") {
			continue
		}
		entry, err := consul.DecodeConfigEntry(raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		// As JSON: Consul is sent it, and it has one kind of number where the two readers have theirs.
		here, there := inJSON(t, entry), inJSON(t, want[entry.GetKind()+"/"+entry.GetName()])
		if here != there {
			t.Errorf("%s is another entry to Terraform:\n%s\nto Consul:\n%s", file, here, there)
		}
	}
}

// attributes reads a file by the rules of decode_tfvars.
func attributes(t *testing.T, file string) map[string]any {
	t.Helper()
	parsed, problems := hclsyntax.ParseConfig([]byte(read(t, file)), file, hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	found, problems := parsed.Body.JustAttributes()
	if problems.HasErrors() {
		t.Errorf("%s has more than attributes: %v", file, problems)
	}
	raw := map[string]any{}
	for name, attribute := range found {
		value, problems := attribute.Expr.Value(nil)
		if problems.HasErrors() {
			t.Errorf("%s: %v", file, problems)
			continue
		}
		text, err := ctyjson.Marshal(value, value.Type())
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatal(err)
		}
		raw[name] = plain
	}
	return raw
}

func inJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// entriesOf are the entries of one kind, by name.
func entriesOf[T consul.ConfigEntry](all mesh) map[string]T {
	found := map[string]T{}
	for _, entry := range all {
		if typed, ok := entry.(T); ok {
			found[entry.GetName()] = typed
		}
	}
	return found
}

// intentions are who may call whom.
func intentions(t *testing.T) map[edge]bool {
	t.Helper()
	allowed := map[edge]bool{}
	for name, entry := range entriesOf[*consul.ServiceIntentionsConfigEntry](entries(t)) {
		for _, source := range entry.Sources {
			if source.Action == consul.IntentionActionAllow || len(source.Permissions) > 0 {
				allowed[edge{source.Name, name}] = true
			}
		}
	}
	return allowed
}

// requireFileName: an entry is found by its file name, <kind>-<name>.hcl or <kind>.hcl.
func requireFileName(t *testing.T, file string, entry consul.ConfigEntry) {
	t.Helper()
	want := fmt.Sprintf("mesh/%s-%s.hcl", entry.GetKind(), entry.GetName())
	if file != want && file != fmt.Sprintf("mesh/%s.hcl", entry.GetKind()) {
		t.Errorf("%s holds the entry of %s", file, want)
	}
}

// Consul denies by default: an upstream without an intention never connects, and an
// intention without an upstream is a right that nobody needs.
func TestIntentionsAreTheUpstreams(t *testing.T) {
	t.Parallel()
	allowed := intentions(t)
	used := map[edge]bool{}
	for _, p := range load(t) {
		for _, e := range upstreams(p.raw) {
			used[e] = true
			if !allowed[e] {
				t.Errorf("%s: no intention in jobs/mesh lets %s call %s", p.name(), e.source, e.destination)
			}
		}
	}
	for e := range allowed {
		if !used[e] {
			t.Errorf("the intention %s → %s in jobs/mesh is used by no job", e.source, e.destination)
		}
		if strings.Contains(e.source+e.destination, "*") {
			t.Errorf("the intention %s → %s names no service", e.source, e.destination)
		}
	}
}

// ruleMesh: nothing gets to an app but through its sidecar.
func ruleMesh(t *testing.T, p parsed) {
	for _, g := range p.raw.TaskGroups {
		if sidecarTask(g) == nil && !isGateway(g) {
			continue
		}
		if len(g.Networks) != 1 || g.Networks[0].Mode != "bridge" {
			t.Errorf("group %s: a service of the mesh needs a network namespace of its own", *g.Name)
		}
		if isGateway(g) {
			continue
		}
		for _, task := range g.Tasks {
			if addr := task.Env["LISTEN_ADDR"]; !strings.HasPrefix(addr, "127.0.0.1:") {
				t.Errorf("task %s: LISTEN_ADDR %q is not on 127.0.0.1", task.Name, addr)
			}
		}
		for _, s := range g.Services {
			for _, c := range s.Checks {
				if c.Type == "http" && !c.Expose && !exposes(s, c.PortLabel) {
					t.Errorf("service %s: check %q does not go through the sidecar", s.Name, c.Name)
				}
			}
			if s.Connect != nil && s.Connect.SidecarService != nil {
				requireLocalUpstreams(t, s)
			}
		}
	}
}

// exposes tells whether the service's sidecar has a listener of this name for one path.
func exposes(s *api.Service, listener string) bool {
	if s.Connect == nil || s.Connect.SidecarService == nil || s.Connect.SidecarService.Proxy == nil || s.Connect.SidecarService.Proxy.Expose == nil {
		return false
	}
	return slices.ContainsFunc(s.Connect.SidecarService.Proxy.Expose.Paths, func(p *api.ConsulExposePath) bool {
		return p.ListenerPort == listener
	})
}

// envoyMetricsPort is where sidecars show their metrics inside the namespace.
const envoyMetricsPort = 9110

// requireLocalUpstreams: two listeners of one Envoy on a port would split the connections.
func requireLocalUpstreams(t *testing.T, s *api.Service) {
	t.Helper()
	sidecar := s.Connect.SidecarService
	if !sidecar.DisableDefaultTCPCheck {
		t.Errorf("service %s: the default TCP check says healthy before the app is; disable it", s.Name)
	}
	if sidecar.Proxy == nil {
		return
	}
	ports := map[int]string{envoyMetricsPort: "Envoy's metrics", 8080: "the app"}
	for _, u := range sidecar.Proxy.Upstreams {
		if other, taken := ports[u.LocalBindPort]; taken {
			t.Errorf("service %s: upstream %s and %s share port %d", s.Name, u.DestinationName, other, u.LocalBindPort)
		}
		ports[u.LocalBindPort] = u.DestinationName
	}
}

func isGateway(g *api.TaskGroup) bool {
	for _, s := range g.Services {
		if s.Connect != nil && s.Connect.Gateway != nil {
			return true
		}
	}
	return false
}

// sidecarTask is the group's Envoy as far as the file states it; nil when there is none.
func sidecarTask(g *api.TaskGroup) *api.SidecarTask {
	for _, s := range g.Services {
		if s.Connect == nil || s.Connect.SidecarService == nil { // a gateway has a task of its own
			continue
		}
		if s.Connect.SidecarTask == nil {
			return &api.SidecarTask{}
		}
		return s.Connect.SidecarTask
	}
	return nil
}
