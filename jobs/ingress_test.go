package jobs_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// The ingress sheds load before the kernel kills it: its overload manager acts on less than the task's memory.
func TestIngressShedsLoadBelowItsMemory(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ingress/bootstrap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`max_heap_size_bytes: (\d+)`).FindSubmatch(text)
	if found == nil {
		t.Fatal("ingress/bootstrap.yaml bounds no heap")
	}
	heap, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	eachIngress(t, func(p parsed, task *api.Task, _ *api.NetworkResource) {
		// What is not on the heap: the program itself, stacks, buffers of the kernel.
		if memory := *task.Resources.MemoryMB; heap>>20 > memory-64 {
			t.Errorf("%s: a heap of %d MiB in %d", p.name(), heap>>20, memory)
		}
	})
}

// Plain HTTP is offered on one machine alone, and there on 127.0.0.1.
func TestPlainHTTPStaysOnTheMachine(t *testing.T) {
	t.Parallel()
	eachIngress(t, func(p parsed, task *api.Task, network *api.NetworkResource) {
		ports := map[int]string{}
		for _, port := range network.ReservedPorts {
			ports[port.Value] = port.HostNetwork
		}
		plain, offered := ports[8080]
		if many := severalMachines[p.vars] > 0; offered == many || many == (task.Env["PLAIN_HTTP"] == "true") {
			t.Errorf("%s: PLAIN_HTTP is %s, 8080 is offered: %t", p.name(), task.Env["PLAIN_HTTP"], offered)
		}
		if offered && plain != "loopback" {
			t.Errorf("%s: 8080 is on the network %q", p.name(), plain)
		}
		if _, ok := ports[8443]; !ok {
			t.Errorf("%s: 8443 is not offered", p.name())
		}
		if _, ok := ports[8081]; ok || task.Env["REDIRECT"] != "false" || len(task.Templates) != 2 {
			t.Errorf("%s: what ACME needs is there without a domain", p.name())
		}
	})
}

// Where domains are certified by ACME, 8081 is offered where the directory gets to, with routes of its own.
func TestACMEHasAPortOfItsOwn(t *testing.T) {
	t.Parallel()
	out, err := run(t, nomad(t), "job", "run", "-output", "-hcl2-strict=false", "-var-file=jobs/vars/many.hcl",
		`-var=acme={domains=["shop.example.com"],email="",directory="https://acme.example.com/directory",ca=""}`, "jobs/ingress.nomad.hcl")
	if err != nil {
		t.Fatal("the ingress does not parse")
	}
	group := decode(t, out).TaskGroups[0]
	offered := ""
	for _, port := range group.Networks[0].ReservedPorts {
		if port.Value == 8081 {
			offered = port.HostNetwork
		}
	}
	task := group.Tasks[0]
	if last := task.Templates[len(task.Templates)-1]; offered != "default" || task.Env["REDIRECT"] != "true" || *last.DestPath != "${NOMAD_SECRETS_DIR}/redirect.yaml" {
		t.Errorf("8081 is on the network %q, REDIRECT is %s, the last template %s", offered, task.Env["REDIRECT"], *last.DestPath)
	}
}

func eachIngress(t *testing.T, check func(parsed, *api.Task, *api.NetworkResource)) {
	t.Helper()
	for _, p := range load(t) {
		for _, g := range p.raw.TaskGroups {
			if !isGateway(g) {
				continue
			}
			if len(g.Tasks) != 1 || !strings.HasPrefix(g.Tasks[0].Kind, "connect-ingress:") {
				t.Errorf("%s: the gateway's Envoy is not the group's one task", p.name())
				continue
			}
			check(p, g.Tasks[0], g.Networks[0])
		}
	}
}
