package redis

import (
	"fmt"
	"testing"
)

// What redis-care shows is read, and says what there is to do.
func TestLeft(t *testing.T) {
	t.Parallel()
	const six = "0 a master 5462 -\n1 b master 5461 -\n2 c master 5461 -\n3 d replica 0 a\n4 e replica 0 b\n5 f replica 0 c\n"
	const eight = "0 a master 4096 -\n1 b master 4096 -\n2 c master 4096 -\n3 d replica 0 a\n4 e replica 0 b\n5 f replica 0 c\n"
	for _, see := range []struct {
		shown      string
		target     int
		left, give string
	}{
		{"", 6, "no node answers", "no node answers"},
		{"a word of the container's\n", 6, "no node answers", "no node answers"},
		{six, 6, "", ""},
		{six, 8, "6 nodes, to be 8", "3 masters, slots per master: 5462 5461 5461"},
		{six + "6 g master 0 -\n7 h replica 0 a\n", 8, "3 masters, slots per master: 5462 5461 5461", "3 masters, slots per master: 5462 5461 5461"},
		{eight + "6 g master 4096 -\n7 h replica 0 g\n", 8, "", ""},
		{eight + "6 g master 4096 -\n7 h replica 0 a\n", 8, "1 masters wait for a replica", "1 masters wait for a replica"},
		{eight + "6 g master 4096 -\n7 h replica 0 g\n", 6, "8 nodes, to be 6",
			"4096 slots on nodes that are to go, slots per master: 4096 4096 4096 4096"},
		{six + "6 g replica 0 a\n7 h replica 0 b\n", 6, "8 nodes, to be 6", ""},
		// A replica that is to go does not count.
		{"0 a master 5462 -\n1 b master 5461 -\n2 c master 5461 -\n3 d replica 0 a\n4 e replica 0 b\n5 f replica 0 b\n6 g replica 0 c\n", 6,
			"7 nodes, to be 6", "1 masters wait for a replica"},
		// Consul does not list the node.
		{"0 a master 5462 -\n1 b master 5461 -\n999 c master 5461 -\n3 d replica 0 a\n4 e replica 0 b\n5 f replica 0 c\n", 6,
			"5461 slots on nodes that are to go, slots per master: 5462 5461 5461", "5461 slots on nodes that are to go, slots per master: 5462 5461 5461"},
		{"0 a master 6000 -\n1 b master 5192 -\n2 c master 5192 -\n3 d replica 0 a\n4 e replica 0 b\n5 f replica 0 c\n", 6,
			"slots per master: 6000 5192 5192", "slots per master: 6000 5192 5192"},
	} {
		nodes := parse(see.shown)
		if is := left(nodes, see.target); is != see.left {
			t.Errorf("%q to %d: left %q, want %q", see.shown, see.target, is, see.left)
		}
		if is := leftToGive(nodes, see.target); is != see.give {
			t.Errorf("%q to %d: to give %q, want %q", see.shown, see.target, is, see.give)
		}
	}
}

// Those with the same slots are partners.
func TestPartners(t *testing.T) {
	t.Parallel()
	found := partners(parse("0 a master 5462 -\n1 b master 5461 -\n2 c master 5461 -\n3 d replica 0 a\n4 e replica 0 a\n5 f replica 0 c\n"))
	for index, want := range map[int]string{0: "[3 4]", 1: "[]", 2: "[5]", 3: "[0 4]", 4: "[0 3]", 5: "[2]"} {
		if is := fmt.Sprint(found[index]); is != want {
			t.Errorf("partners of %d: %s, want %s", index, is, want)
		}
	}
}
