//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"bookstore/services/shoptest/cluster"
)

// intruder is who has broken into something: where that is, an allocation's network namespace, or the machine's, as a user.
type intruder struct {
	name, user string
	pid        int // of a process in the namespace; 0: the machine's
}

// reaches tells whether a connection can be made from the place. What is refused is refused at once.
func (p intruder) reaches(t *testing.T, address string) bool {
	t.Helper()
	command := []string{
		"setpriv", "--reuid=" + p.user, "--regid=" + p.user, "--clear-groups",
		"curl", "--silent", "--globoff", "--noproxy", "*", "--max-time", "3", "--output", "/dev/null", "http://" + address + "/",
	}
	if p.pid != 0 {
		command = append([]string{"nsenter", "--target", strconv.Itoa(p.pid), "--net"}, command...)
	}
	_, err := cluster.Command(command[0], command[1:]...)
	switch {
	case err == nil:
		return true
	case strings.Contains(err.Error(), "exit status 7:"): // could not connect
		return false
	case strings.Contains(err.Error(), "exit status 28:"):
		t.Errorf("%s: the way to %s swallows packets; it is to refuse", p.name, address)
		return false
	}
	return true // whoever answers there speaks no HTTP
}

// refusals is how many packets the machine has refused a way out.
func refusals(t *testing.T) (n int) {
	t.Helper()
	for _, tables := range []string{"iptables", "ip6tables"} {
		rules, err := cluster.Command(tables, "--wait", "-nvxL", "BOOKSTORE-WAY-OUT")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(rules) {
			if f := strings.Fields(line); len(f) > 2 && f[2] == "REJECT" {
				packets, err := strconv.Atoi(f[0])
				if err != nil {
					t.Fatal(err)
				}
				n += packets
			}
		}
	}
	return n
}

// requireClosed: the place gets to none of the targets, and each try is counted.
func (p intruder) requireClosed(t *testing.T, targets map[string]string) {
	t.Helper()
	for what, address := range targets {
		before := refusals(t)
		if p.reaches(t, address) {
			t.Errorf("%s reaches %s, %s", p.name, what, address)
		} else if refusals(t) == before {
			t.Errorf("%s does not reach %s, %s, and no rule refused it", p.name, what, address)
		}
	}
}

func (p intruder) requireOpen(t *testing.T, targets map[string]string) {
	t.Helper()
	for what, address := range targets {
		if !p.reaches(t, address) {
			t.Errorf("%s does not reach %s, %s", p.name, what, address)
		}
	}
}

// listen answers HTTP at a free port of the address, outside of those that Nomad gives out, and returns where.
func listen(t *testing.T, address string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.NotFoundHandler()}}
	server.Start()
	t.Cleanup(server.Close)
	if !(intruder{name: "root", user: "0"}).reaches(t, listener.Addr().String()) {
		t.Fatalf("nobody reaches %s", listener.Addr())
	}
	return listener.Addr().String()
}

// instance is where one instance of a service in Consul listens.
func instance(t *testing.T, service string) string {
	t.Helper()
	entries, err := cluster.Healthy(t.Context(), t, service, "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no %s in Consul: %v", service, err)
	}
	return cluster.HostPort(entries[0])
}

// bridge is the address of Nomad's bridge, by which its containers see this machine.
func bridge(t *testing.T, network string) string {
	t.Helper()
	itf, err := net.InterfaceByName("nomad")
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := itf.Addrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if ip, _, err := net.ParseCIDR(a.String()); err == nil && (ip.To4() != nil) == (network == "4") {
			return ip.String()
		}
	}
	t.Fatalf("Nomad's bridge has no address of IPv%s: %v", network, addresses)
	return ""
}

// elsewhere is what no container has to do with: other hosts, this machine's other services, its agents.
func elsewhere(t *testing.T, node string) map[string]string {
	t.Helper()
	return map[string]string{
		"another host": "203.0.113.1:443", "the cloud's metadata": "169.254.169.254:80", "a name server": "203.0.113.53:53",
		"a service of this machine": listen(t, node),
		"Nomad's RPC":               node + ":4647", "Consul's RPC": node + ":8300", "Consul's gossip": node + ":8301",
	}
}

// Who has broken into a container of a service reaches databases, cache and sidecars, and nothing else: not the machine
// that it runs on, not other hosts, not another container past its sidecar.
func TestAttackEgressFromAService(t *testing.T) {
	cluster.WaitHealthy(t, 2, cluster.Services...)
	node, _, err := net.SplitHostPort(instance(t, "patroni"))
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]string{"PostgreSQL": instance(t, "patroni"), "the cache": instance(t, "redis")}
	other, _, err := cluster.Nomad(t).Allocations().Info(cluster.Running(t, "payments")[0].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	closed := elsewhere(t, node)
	at := bridge(t, "4")
	closed["Docker"], closed["Nomad"], closed["Consul"], closed["Prometheus"] = at+":2375", at+":4646", at+":8501", at+":9090"
	closed["this machine, by its bridge"], closed["the door"] = listen(t, at), node+":8080"
	closed["the bus of the cache's nodes"] = node + ":32100"
	closed["another allocation's Envoy"] = net.JoinHostPort(other.NetworkStatus.Address, "9110")
	_, port, _ := net.SplitHostPort(sidecar(t, "payments"))
	closed["another allocation's sidecar, at its own address"] = net.JoinHostPort(other.NetworkStatus.Address, port)
	_, six, _ := net.SplitHostPort(listen(t, "::"))
	bySix := fmt.Sprintf("[%s%%25eth0]:%s", bridge(t, "6"), six)
	for i, service := range cluster.Services {
		open["another service's sidecar"] = sidecar(t, cluster.Services[(i+1)%len(cluster.Services)])
		attacker := cluster.Running(t, service)[1] // payments attacks its other instance
		pid, err := cluster.FirstProcess(cluster.Container(service, attacker.ID))
		if err != nil {
			t.Fatal(err)
		}
		p := intruder{name: service, user: "65532", pid: pid}
		p.requireOpen(t, open)
		p.requireClosed(t, closed)
		// Where a container has no address of IPv6 there is no packet to count.
		if p.reaches(t, bySix) {
			t.Errorf("%s reaches this machine by IPv6, %s", service, bySix)
		}
	}
}

// What runs on the machine's own network, as a user of its own, gets no further.
func TestAttackEgressFromTheHostsNetwork(t *testing.T) {
	const consul, nomad = "127.0.0.1:8501", "127.0.0.1:4646"
	node, _, err := net.SplitHostPort(instance(t, "patroni"))
	if err != nil {
		t.Fatal(err)
	}
	closed := elsewhere(t, node)
	closed["a service of this machine on loopback"], closed["by IPv6"] = listen(t, "127.0.0.1"), listen(t, "::1")
	metrics, err := cluster.Healthy(t.Context(), t, "books", "")
	if err != nil || len(metrics) == 0 {
		t.Fatal(err)
	}
	measured := metrics[0].Service.Meta["metrics"]
	for _, p := range []intruder{{name: "a member of PostgreSQL", user: "10001"}, {name: "a node of the cache", user: "10002"}} {
		p.requireOpen(t, map[string]string{"PostgreSQL": instance(t, "patroni"), "the cache": instance(t, "redis"), "Consul": consul})
		p.requireClosed(t, closed)
		p.requireClosed(t, map[string]string{"Nomad": nomad, "Prometheus": "127.0.0.1:9090", "metrics": measured, "the door": "127.0.0.1:8080"})
	}
	bus := map[string]string{"the bus of the cache's nodes": node + ":32100"}
	intruder{name: "a member of PostgreSQL", user: "10001"}.requireClosed(t, bus)
	intruder{name: "a node of the cache", user: "10002"}.requireOpen(t, bus)
	prometheus := intruder{name: "Prometheus", user: "10004"}
	prometheus.requireOpen(t, map[string]string{"Consul": consul, "Nomad": nomad, "itself": "127.0.0.1:9090", "Alertmanager": "127.0.0.1:9093", "metrics": measured})
	prometheus.requireClosed(t, closed)
	prometheus.requireClosed(t, map[string]string{"the door": "127.0.0.1:8080"})
	teller := intruder{name: "Alertmanager", user: "10007"}
	teller.requireClosed(t, closed)
	teller.requireClosed(t, map[string]string{"Nomad": nomad, "Prometheus": "127.0.0.1:9090", "metrics": measured, "the door": "127.0.0.1:8080"})
}
