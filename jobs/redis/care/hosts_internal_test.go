package care

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReplicasAreOnOtherHostsThanTheirMasters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		nodes []string // of three hosts
		acts  int      // the index of the one node that has something to do; nowhere
		want  step
	}{
		{"all is well", []string{"0@1 master 0-5460", "1@2 master 5461-10922", "2@3 master 10923-16383", "3@2 slave - 0", "4@3 slave - 1", "5@1 slave - 2"}, nowhere, nothing},
		{"each beside its master", []string{"0@1 master 0-5460", "1@2 master 5461-10922", "2@3 master 10923-16383", "3@1 slave - 0", "4@2 slave - 1", "5@3 slave - 2"}, 3, part},
		{"one beside its master", []string{"0@1 master 0-5460", "1@2 master 5461-10922", "2@3 master 10923-16383", "3@1 slave - 0", "4@3 slave - 1", "5@2 slave - 2"}, 3, part},
		{"the exchange half done", []string{"0@1 master 0-5460", "1@2 master 5461-10922", "2@3 master 10923-16383", "3@1 slave - 1", "4@2 slave - 1", "5@1 slave - 2"}, 4, follow},
		{"one machine", []string{"0@1 master 0-5460", "1@1 master 5461-10922", "2@1 master 10923-16383", "3@1 slave - 0", "4@1 slave - 1", "5@1 slave - 2"}, nowhere, nothing},
		{"two masters on a host, none on another", []string{"1@2 master 5461-10922", "2@3 master 10923-16383", "3@2 master 0-5460", "0@1 slave - 3", "4@3 slave - 1", "5@1 slave - 2"}, 3, yield},
		{"two masters on a host whose replicas are on one with a master", []string{"1@2 master 5461-10922", "2@3 master 10923-16383", "3@2 master 0-5460", "0@3 slave - 3", "4@3 slave - 1", "5@1 slave - 2"}, nowhere, nothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for self := range 6 {
				want := nothing
				if self == test.acts {
					want = test.want
				}
				if got := table(t, self, 6, test.nodes...).due(time.Minute); got != want {
					t.Errorf("%d: due is %q, not %q", self, got, want)
				}
				if got := table(t, self, 6, test.nodes...).due(time.Second); test.want == yield && got != nothing {
					t.Errorf("%d: due is %q before the cluster is calm", self, got)
				}
			}
		})
	}
}

// From any pairing of replicas and masters on three hosts the steps lead to one in which no replica is beside its master, and
// no host has two masters more than another.
func TestAnyPairingOnThreeHostsComesRight(t *testing.T) {
	t.Parallel()
	slotsOf := []string{"0-5460", "5461-10922", "10923-16383"}
	for code := range 6 * 27 { // an order of three replicas, and the host of each
		order := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}[code%6]
		hosts := []int{1, 2, 3, code/6%3 + 1, code/18%3 + 1, code/54%3 + 1}
		master := map[int]int{3: order[0], 4: order[1], 5: order[2]}
		if hosts[3] == hosts[4] || hosts[4] == hosts[5] || hosts[3] == hosts[5] {
			continue // members are placed one on each host, twice
		}
		draw := func(self int) picture {
			var nodes []string
			for i := range 3 {
				nodes = append(nodes, fmt.Sprintf("%d@%d master %s", i, hosts[i], slotsOf[i]))
			}
			for i := 3; i < 6; i++ {
				nodes = append(nodes, fmt.Sprintf("%d@%d slave - %d", i, hosts[i], master[i]))
			}
			return table(t, self, 6, nodes...)
		}
		for range 12 {
			for self := range 6 {
				p := draw(self)
				var to string
				switch p.due(time.Minute) {
				case part:
					to = p.partner()
				case follow:
					to, _ = p.leader(self)
				case nothing, give, yield, take, even:
					continue
				}
				if _, err := fmt.Sscanf(strings.TrimPrefix(to, "id"), "%d", new(int)); err != nil {
					t.Fatalf("%d follows %q", self, to)
				}
				master[self] = int(to[2] - '0')
			}
		}
		followed := map[int]bool{}
		for i := 3; i < 6; i++ {
			followed[master[i]] = true
			if hosts[i] == hosts[master[i]] {
				t.Errorf("order %v, hosts %v: %d is beside its master %d at last", order, hosts, i, master[i])
			}
		}
		if len(followed) != 3 {
			t.Errorf("order %v, hosts %v: masters %v have replicas", order, hosts, followed)
		}
	}
}
