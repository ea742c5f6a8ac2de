package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/console"
	"bookstore/services/operator/operatortest"
)

// nodes stand for those of Redis: they take what the variable says when they are told to.
type nodes struct {
	t     *testing.T
	items func() nomad.VariableItems
	shown map[string]string
	seen  []int // passwords of the gateway that held, one after the other
}

func (n *nodes) ask(_ context.Context, command string) (map[string]string, error) {
	if command == "users" {
		return n.shown, nil
	}
	items := n.items()
	held := hashes(items["gateway_password"], items["gateway_other"])
	n.seen = append(n.seen, len(held))
	n.shown = map[string]string{"first": show(items), "second": show(items)}
	return n.shown, nil
}

// show is what redis-care shows of a node with these users.
func show(items nomad.VariableItems) string {
	var text strings.Builder
	state, certificates := "off", "yes"
	if items[former] != "" {
		state, certificates = "on", "optional"
	}
	fmt.Fprintf(&text, "user default %s %s resetchannels -@all\n", state, strings.Join(hashes(items[former]), " "))
	for _, user := range users {
		fmt.Fprintf(&text, "user %s on %s ~book:* resetchannels -@all +ping\n", user, strings.Join(hashes(items[user+"_password"], items[user+"_other"]), " "))
	}
	return text.String() + "tls-auth-clients " + certificates + "\n"
}

// At each moment nodes take what anybody uses; in the end only what is new.
func TestRotate(t *testing.T) {
	t.Parallel()
	c := operatortest.Start(t)
	set := func(job string, items nomad.VariableItems) {
		t.Helper()
		if _, err := c.Change(t.Context(), job, func(now nomad.VariableItems) { maps.Copy(now, items) }); err != nil {
			t.Fatal(err)
		}
	}
	get := func(job string) nomad.VariableItems {
		t.Helper()
		items, err := c.Items(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		return items
	}
	set(job, nomad.VariableItems{former: "one", "cluster_password": "1", "gateway_password": "2", "books_password": "3"})
	set("gateway", nomad.VariableItems{"cache_password": "2", "redis_password": "one", "operator_token": "kept"})
	set("books", nomad.VariableItems{"cache_password": "3", "redis_password": "one"})

	n := &nodes{t: t, items: func() nomad.VariableItems { return get(job) }}
	n.shown = map[string]string{"first": show(n.items()), "second": show(n.items())}
	r := rotation{c: c, out: console.Console{Out: &strings.Builder{}}, ask: n.ask}
	if err := r.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if open, err := Former(t.Context(), c); open || err != nil || get("books")["redis_password"] != "" {
		t.Errorf("the password of before still holds: %t, %v", open, err)
	}

	n.seen = nil
	before := get(job)
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := get(job)
	for _, user := range users {
		if after[user+"_password"] == before[user+"_password"] || after[user+"_other"] != "" {
			t.Errorf("%s has %v", user, after)
		}
	}
	if get("gateway")["cache_password"] != after["gateway_password"] || get("gateway")["operator_token"] != "kept" || get("books")["cache_password"] != after["books_password"] {
		t.Errorf("the services have %v and %v", get("gateway"), get("books"))
	}
	if !slices.Equal(n.seen, []int{2, 1}) {
		t.Errorf("the nodes took %v passwords of the gateway, one after the other", n.seen)
	}

	// One that was cut off before the services heard of it.
	set(job, nomad.VariableItems{"gateway_password": "new", "gateway_other": after["gateway_password"]})
	if err := r.finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if get("gateway")["cache_password"] != "new" || get(job)["gateway_other"] != "" {
		t.Errorf("finished: %v, %v", get("gateway"), get(job))
	}
}

// A node is behind while it knows another password, another user, or wants no certificate.
func TestFollows(t *testing.T) {
	t.Parallel()
	items := nomad.VariableItems{"cluster_password": "1", "gateway_password": "2", "gateway_other": "4", "books_password": "3"}
	shown := show(items)
	if !follows(shown, items) {
		t.Errorf("a node that shows its users is behind:\n%s", shown)
	}
	for name, other := range map[string]string{
		"nothing":             "",
		"a stranger":          "user stranger on #12 -@all\n" + shown,
		"a user less":         strings.Join(strings.SplitAfter(shown, "\n")[1:], ""),
		"another password":    strings.Replace(shown, hashes("3")[0], hashes("5")[0], 1),
		"a password less":     strings.Replace(shown, hashes("4")[0], "", 1),
		"no certificate":      strings.Replace(shown, "clients yes", "clients optional", 1),
		"the user default on": strings.Replace(shown, "user default off", "user default on "+hashes("x")[0], 1),
	} {
		if follows(other, items) {
			t.Errorf("%s: taken for up to date:\n%s", name, other)
		}
	}
}
