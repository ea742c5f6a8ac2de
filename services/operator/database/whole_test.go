package database

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bookstore/services/operator/machine"
)

func TestWhatMembersLack(t *testing.T) {
	t.Parallel()
	members, err := parse([]byte(answer)) // 0 leads, 1 has everything, 2 starts, 3 streams and no commit waits for it
	if err != nil {
		t.Fatal(err)
	}
	for _, look := range []struct {
		members []Member
		names   string
		want    string
	}{
		{members, "patroni-0 patroni-1", ""},
		{members, "patroni-0 patroni-1 patroni-2", "patroni-2 is quorum standby, starting"},
		{members, "patroni-1 patroni-3 patroni-4", "patroni-3 is replica, streaming; patroni-4 is not there"},
		{members[1:], "patroni-1", "no member leads"},
	} {
		if is := Missing(look.members, strings.Fields(look.names)); is != look.want {
			t.Errorf("%s: %q, want %q", look.names, is, look.want)
		}
	}
	if Leader(members) != "patroni-0" || Leader(members[1:]) != "" {
		t.Error("who leads is not seen")
	}
	if heir := Heir(members, []string{"patroni-0", "patroni-1", "patroni-2"}); heir != "patroni-1" || Heir(members, []string{"patroni-3"}) != "" {
		t.Errorf("the heir is %q", heir)
	}
}

// With as many standbys as acknowledge a commit none may be taken away; one that no commit waits for may.
func TestWhoMayBeSpared(t *testing.T) {
	t.Parallel()
	standby := func(name string) Member { return Member{Name: name, Role: "quorum_standby", State: "streaming"} }
	three := []Member{{Name: "a", Role: "leader", State: "running"}, standby("b"), standby("c"), {Name: "d", Role: "quorum_standby", State: "starting"}}
	if err := Spare(three, "d"); err != nil {
		t.Errorf("one that starts: %v", err)
	}
	if err := Spare(three, "b"); err == nil || !strings.Contains(err.Error(), "only 1 standbys have everything (c), and 2 acknowledge") {
		t.Errorf("one of two: %v", err)
	}
	if err := Spare(append(three, standby("e")), "b"); err != nil {
		t.Errorf("one of three: %v", err)
	}
}

// The number is Patroni's.
func TestAsManyAcknowledgeAsPatroniSays(t *testing.T) {
	t.Parallel()
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "patroni/patroni.yml"))
	if err != nil || !strings.Contains(string(text), "\n    synchronous_node_count: 2\n") || Acknowledging != 2 {
		t.Errorf("not 2 in patroni/patroni.yml and here: %v", err)
	}
}
