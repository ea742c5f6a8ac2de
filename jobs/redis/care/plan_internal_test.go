package care

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// table writes a table of nodes: each node as "index role slots [master's index]", where a role
// may be "master", "slave" or another flag with it, and slots a comma's list of ranges or "-". An index alone is on a host of
// its own, "3@1" is on host 1.
func table(t *testing.T, self, count int, nodes ...string) picture {
	t.Helper()
	var text strings.Builder
	var peers []peer
	for _, n := range nodes {
		words := strings.Fields(n)
		var index int
		if _, err := fmt.Sscan(words[0], &index); err != nil {
			t.Fatal(err)
		}
		flags, master := words[1], "-"
		if len(words) > 3 {
			master = "id" + words[3]
		}
		if index == self {
			flags = "myself," + flags
		}
		owned := ""
		if words[2] != "-" {
			owned = strings.ReplaceAll(words[2], ",", " ")
		}
		addr := fmt.Sprintf("10.0.0.%d:6379", index)
		if _, host, ok := strings.Cut(words[0], "@"); ok {
			addr = fmt.Sprintf("10.0.1.%s:%d", host, 7000+index)
		}
		fmt.Fprintf(&text, "id%d %s@16379 %s %s 0 1 2 connected %s\n", index, addr, flags, master, owned)
		peers = append(peers, peer{addr: addr, index: index})
	}
	p, err := draw(text.String(), peers, count)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatIsDue(t *testing.T) {
	t.Parallel()
	three := []string{"0 master 0-5460", "1 master 5461-10922", "2 master 10923-16383"}
	copies := []string{"3 slave - 0", "4 slave - 1", "5 slave - 2"}
	for _, test := range []struct {
		name        string
		self, count int
		nodes       []string
		calm        time.Duration
		want        step
	}{
		{"a master of a whole cluster", 0, 6, append(three, copies...), 0, nothing},
		{"a replica of a whole cluster", 3, 6, append(three, copies...), 0, nothing},
		{"an empty master where all masters are there", 3, 6, append(three, "3 master -"), 0, follow},
		{"the first empty master of a larger cluster", 6, 8, append(append(three, copies...), "6 master -", "7 master -"), 0, take},
		{"the second", 7, 8, append(append(three, copies...), "6 master -", "7 master -"), 0, nothing},
		{"an empty master that is to go", 6, 6, []string{"0 master 0-8191", "1 master 8192-16383", "6 master -"}, 0, follow},
		{"an empty master while shares differ", 3, 4, []string{"0 master 0-99", "1 master 100-16383", "3 master -"}, time.Minute, nothing},
		{"an empty master after shares have differed for long", 3, 4, []string{"0 master 0-99", "1 master 100-16383", "3 master -"}, 6 * time.Minute, follow},
		{"the smallest of too many masters", 1, 4, []string{"0 master 0-8000", "1 master 8001-9000", "2 master 9001-16383"}, 0, give},
		{"the larger of too many masters", 0, 4, []string{"0 master 0-8000", "1 master 8001-9000", "2 master 9001-16383"}, 0, nothing},
		{"the smallest of masters with different shares", 0, 4, []string{"0 master 0-99", "1 master 100-16383"}, 0, even},
		{"the larger of masters with different shares", 1, 4, []string{"0 master 0-99", "1 master 100-16383"}, 0, nothing},
		{"a fourth master that is to go", 6, 6, append(three[:2:2], "2 master 10923-12000", "6 master 12001-16383"), 0, give},
		{"a third master that is to go", 6, 6, append(three[:2:2], "2 slave - 6", "6 master 10923-16383"), 0, yield},
		{"the first of two that are to go, where one has to give", 6, 6, append(three[:2:2], "6 master 10923-12000", "7 master 12001-16383"), 0, yield},
		{"the smallest while another is to go", 0, 6, append(three[:2:2], "2 master 10923-12000", "6 master 12001-16383"), 0, nothing},
		{"the last of two replicas where a master has none", 4, 6, append(three, "3 slave - 0", "4 slave - 0", "5 slave - 2"), 0, follow},
		{"the first of two replicas where a master has none", 3, 6, append(three, "3 slave - 0", "4 slave - 0", "5 slave - 2"), 0, nothing},
		{"the last of two replicas where no master lacks one", 6, 8, append(append(three, copies...), "6 slave - 0"), 0, nothing},
		{"a replica that is to go", 6, 6, append(three, "3 slave - 0", "6 slave - 0"), 0, nothing},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := table(t, test.self, test.count, test.nodes...).due(test.calm); got != test.want {
				t.Errorf("due is %q, not %q", got, test.want)
			}
		})
	}
}

func TestWhatIsClaimed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		self  int
		nodes []string
		calm  time.Duration
		want  []span
	}{
		{"a born master's own part", 1, []string{"0 master -", "1 master -"}, 3 * time.Second, []span{{5461, 10921}}},
		{"what is left of it", 1, []string{"0 master 0-6000", "1 master -", "2 master 6002-7000"}, 3 * time.Second, []span{{6001, 6001}, {7001, 10921}}},
		{"nothing, by the second half", 3, []string{"0 master -", "3 master -"}, 20 * time.Second, nil},
		{"everything, by the second half later", 3, []string{"0 master 0-99", "3 master -"}, 24 * time.Second, []span{{100, 16383}}},
		{"nothing, by who has slots", 0, []string{"0 master 0-99"}, 20 * time.Second, nil},
		{"everything, by who has slots at last", 0, []string{"0 master 0-99"}, 40 * time.Second, []span{{100, 16383}}},
		{"nothing, by a replica", 3, []string{"0 master 0-99", "3 slave - 0"}, time.Hour, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := table(t, test.self, 6, test.nodes...).claim(test.self, test.calm); !reflect.DeepEqual(got, test.want) {
				t.Errorf("claims %v, not %v", got, test.want)
			}
		})
	}
}

func TestWhomToFollow(t *testing.T) {
	t.Parallel()
	three := []string{"0 master 10923-16383", "1 master 0-5460", "2 master 5461-10922"}
	for _, test := range []struct {
		name  string
		self  int
		nodes []string
		want  string
	}{
		{"of equals the one by half the nodes before it", 3, append(three, "3 master -"), "id0"},
		{"the next, for the next index", 4, append(three, "4 master -"), "id1"},
		{"by the index where that one has a replica", 5, append(three, "3 slave - 2", "5 master -"), "id0"},
		{"the one with the fewest replicas", 4, append(three, "3 slave - 1", "5 slave - 2", "4 master -"), "id0"},
		{"nobody who failed", 3, []string{"0 master 0-99", "1 master,fail? 100-199", "3 master -"}, "id0"},
		{"nobody without slots", 3, []string{"0 master -", "3 master -"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := table(t, test.self, 6, test.nodes...).leader(test.self); got != test.want {
				t.Errorf("follows %q, not %q", got, test.want)
			}
		})
	}
}

func TestTheTableOfNodesIsRead(t *testing.T) {
	t.Parallel()
	const text = `aa 10.0.0.1:7000@17000,name myself,master - 0 0 1 connected 0-5 7 [8->-bb] [9-<-bb]
bb 10.0.0.2:7000@17000 slave,fail aa 0 0 1 disconnected
`
	p, err := draw(text, []peer{{addr: "10.0.0.1:7000", index: 0}, {addr: "10.0.0.3:7000", index: 2}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if p.self.slots() != 7 || len(p.self.open) != 2 || p.whole() {
		t.Errorf("%+v", p.self)
	}
	if got := p.strangers(); len(got) != 1 || got[0].index != 2 {
		t.Errorf("strangers %+v", got)
	}
	if got := p.gone(); len(got) != 1 || got[0].id != "bb" {
		t.Errorf("gone %+v", got)
	}
	if got := p.String(); got != "0 aa master 7 -\n" {
		t.Errorf("shown as %q", got)
	}
	for _, bad := range []string{"", "aa b", "aa 10.0.0.1:1@2 myself,master - 0 0 1 connected x-y"} {
		if _, err := draw(bad, nil, 6); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
