package provide

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bookstore/services/operator/cluster"
)

func named(n int) (hosts []cluster.Host) {
	for i := range n {
		hosts = append(hosts, cluster.Host{ID: fmt.Sprintf("id-%d", n-i), Name: fmt.Sprintf("host%d", i+1)})
	}
	return hosts
}

// perHost counts the volumes of a job on each host.
func perHost(volumes []volume, job string, hosts []cluster.Host) (counts []int) {
	for _, host := range hosts {
		n := 0
		for _, v := range volumes {
			if v.node == host.ID && strings.HasPrefix(v.name, job+"[") {
				n++
			}
		}
		counts = append(counts, n)
	}
	return counts
}

// On any number of hosts members are as even as can be, and no replica of Redis begins on its master's host.
func TestMembersAreEvenOverHosts(t *testing.T) {
	t.Parallel()
	for hosts := 1; hosts <= 7; hosts++ {
		for redis := 6; redis <= 12; redis += 2 {
			t.Run(fmt.Sprintf("%d nodes of Redis on %d hosts", redis, hosts), func(t *testing.T) {
				t.Parallel()
				all := missing(named(hosts), nil, redis)
				for _, job := range []string{"patroni", "redis"} {
					counts := perHost(all, job, named(hosts))
					if slices.Max(counts)-slices.Min(counts) > 1 {
						t.Errorf("%s: %v volumes on the hosts", job, counts)
					}
				}
				for i := range redis / 2 {
					master, replica := nodeOf(all, PerInstance("redis", i)), nodeOf(all, PerInstance("redis", redis/2+i))
					if hosts > 1 && master == replica {
						t.Errorf("the master %d and its replica are both on %s", i, master)
					}
				}
				if more := missing(named(hosts), all, redis); len(more) != 0 {
					t.Errorf("made twice: %v", more)
				}
			})
		}
	}
}

// Members go by the names of hosts, in their order: not by the random IDs.
func TestMembersGoByTheNamesOfHosts(t *testing.T) {
	t.Parallel()
	hosts := named(5)
	all := missing(hosts, nil, 6)
	for i, host := range hosts {
		if at := nodeOf(all, PerInstance("patroni", i)); at != host.ID {
			t.Errorf("patroni %d is on %s, not on %s (%s)", i, at, host.Name, host.ID)
		}
	}
}

// What runs on any host finds its volume there: no host's death ends the exports.
func TestEveryHostHasWhatRunsAnywhere(t *testing.T) {
	t.Parallel()
	hosts := named(3)
	there := missing(hosts[:1], nil, 6)
	all := slices.Concat(there, missing(hosts, there, 6))
	for _, host := range hosts {
		for _, name := range []string{"backup", "warehouse"} {
			if n := len(slices.DeleteFunc(slices.Clone(all), func(v volume) bool { return v.name != name || v.node != host.ID })); n != 1 {
				t.Errorf("%s has %d volumes %s", host.Name, n, name)
			}
		}
	}
}

// What is there stays, and what is new goes where the fewest are.
func TestNewVolumesGoToTheEmptiestHost(t *testing.T) {
	t.Parallel()
	hosts := named(3)
	there := missing(hosts[:1], nil, 6)
	for _, v := range missing(hosts, there, 8) {
		if v.name == PerInstance("redis", 6) && v.node != hosts[1].ID || v.name == PerInstance("redis", 7) && v.node != hosts[2].ID {
			t.Errorf("%s is on %s", v.name, v.node)
		}
		if strings.HasPrefix(v.name, "patroni") {
			t.Errorf("%s is made anew", v.name)
		}
	}
}
