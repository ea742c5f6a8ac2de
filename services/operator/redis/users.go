package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/provide"
	"bookstore/services/platform/wait"
)

// services are those that have a user of Redis, of the same name; cluster is who the nodes are to each other.
var services = []string{"gateway", "books"}

// users are all that have a password: the item <user>_password of the nodes' variable, and <user>_other, a second one that
// holds too. A service's own variable has it as cache_password.
var users = append([]string{"cluster"}, services...)

// former is the item with the password of a shop in which everybody was the user default.
const former = "password"

// Former tells whether the shop's Redis still lets in who only knows the one password of before there were users.
func Former(ctx context.Context, c *cluster.Cluster) (bool, error) {
	items, err := c.Items(ctx, job)
	return items[former] != "", err
}

// Close makes the password of before void, and certificates necessary: every node and every service runs with users now.
func Close(ctx context.Context, c *cluster.Cluster, out console.Console) error {
	open, err := Former(ctx, c)
	if err != nil || !open {
		return err
	}
	return newRotation(c, out).close(ctx)
}

// Rotate gives every user of Redis a new password while all of them are at work: nodes take the old one too until
// everybody has heard of the new. Interrupted, it is simply run again.
func Rotate(ctx context.Context, c *cluster.Cluster, out console.Console) error {
	return newRotation(c, out).run(ctx)
}

// rotation is one run of Rotate.
type rotation struct {
	c     *cluster.Cluster
	out   console.Console
	grace time.Duration // how long a service may still connect with what it was given before
	// ask runs redis-care's command on every node and returns what each answers, by the node's name.
	ask func(ctx context.Context, command string) (map[string]string, error)
}

func newRotation(c *cluster.Cluster, out console.Console) rotation {
	return rotation{c: c, out: out, grace: 15 * time.Second, ask: func(ctx context.Context, command string) (map[string]string, error) {
		return askNodes(ctx, c, command)
	}}
}

func (r rotation) close(ctx context.Context) error {
	for _, service := range services {
		if _, err := r.c.Change(ctx, service, func(items nomad.VariableItems) { delete(items, "redis_password") }); err != nil {
			return err
		}
	}
	if _, err := r.c.Change(ctx, job, func(items nomad.VariableItems) { delete(items, former) }); err != nil {
		return err
	}
	if err := r.await(ctx); err != nil {
		return err
	}
	r.out.Sayf("Redis lets in who has a user and a certificate of the mesh, and nobody else")
	return nil
}

func (r rotation) run(ctx context.Context) error {
	r.out.Stagef("new passwords for Redis' users %s", strings.Join(users, ", "))
	if err := r.finish(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		does string
		with func(items nomad.VariableItems, user string)
	}{
		{"nodes take a new password beside the one in use", func(items nomad.VariableItems, user string) {
			items[user+"_other"] = provide.Password()
		}},
		{"everybody uses the new one", func(items nomad.VariableItems, user string) {
			items[user+"_password"], items[user+"_other"] = items[user+"_other"], items[user+"_password"]
		}},
	} {
		if err := r.change(ctx, step.with); err != nil {
			return err
		}
		r.out.Sayf("%s", step.does)
	}
	return r.finish(ctx)
}

// finish has everybody use the first password and makes the second void, if there is one.
func (r rotation) finish(ctx context.Context) error {
	items, err := r.c.Items(ctx, job)
	if err != nil {
		return err
	}
	second := func(user string) bool { return items[user+"_other"] != "" }
	if !slices.ContainsFunc(users, second) {
		return nil
	}
	for _, service := range services {
		password, err := r.c.Item(ctx, job, service+"_password")
		if err != nil {
			return err
		}
		if _, err := r.c.Change(ctx, service, func(items nomad.VariableItems) { items["cache_password"] = password }); err != nil {
			return err
		}
	}
	if !wait.For(ctx, r.grace) {
		return ctx.Err()
	}
	if err := r.change(ctx, func(items nomad.VariableItems, user string) { delete(items, user+"_other") }); err != nil {
		return err
	}
	r.out.Sayf("the passwords of before are void")
	return nil
}

// change changes what the nodes' variable has for each user, and returns when all nodes go by it.
func (r rotation) change(ctx context.Context, with func(items nomad.VariableItems, user string)) error {
	_, err := r.c.Change(ctx, job, func(items nomad.VariableItems) {
		for _, user := range users {
			with(items, user)
		}
	})
	if err != nil {
		return err
	}
	return r.await(ctx)
}

// await waits until every node has the users that its variable says. Nomad tells a node at once; one that did not listen
// is told again.
func (r rotation) await(ctx context.Context) error {
	until := console.Wait{For: "the nodes of Redis to take their users", Limit: 3 * time.Minute, Every: time.Second, Hint: "'go tool task logs -- redis' shows what keeps them; run this again then"}
	return r.out.Wait(ctx, until, func(ctx context.Context) (string, error) {
		items, err := r.c.Items(ctx, job)
		if err != nil {
			return "", err
		}
		shown, err := r.ask(ctx, "users")
		if err != nil {
			return err.Error(), nil //nolint:nilerr // it is asked again
		}
		behind := 0
		for _, text := range shown {
			if !follows(text, items) {
				behind++
			}
		}
		if behind == 0 && len(shown) > 0 {
			return "", nil
		}
		if _, err := r.ask(ctx, "reload"); err != nil {
			return err.Error(), nil //nolint:nilerr // it is asked again
		}
		return fmt.Sprintf("%d of %d nodes have other users", behind, len(shown)), nil
	})
}

// askNodes runs a command of redis-care on every node.
func askNodes(ctx context.Context, c *cluster.Cluster, command string) (map[string]string, error) {
	running, err := c.Running(ctx, job)
	if err != nil {
		return nil, err
	}
	answers := map[string]string{}
	for _, node := range running {
		if answers[node.ID], err = c.Exec(ctx, node.ID, job, "redis-care", command); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// follows tells whether what a node shows (redis-care users) is what the variable says: the hashes of each user's
// passwords, and nobody without a certificate.
func follows(shown string, items nomad.VariableItems) bool {
	want := map[string][]string{"default": hashes(items[former])}
	for _, user := range users {
		want[user] = hashes(items[user+"_password"], items[user+"_other"])
	}
	certificates := "yes"
	if items[former] != "" {
		certificates = "optional"
	}
	if !strings.Contains(shown, "tls-auth-clients "+certificates+"\n") {
		return false
	}
	found := 0
	for line := range strings.Lines(shown) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "user" {
			continue
		}
		has := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return !strings.HasPrefix(word, "#") })
		slices.Sort(has)
		if wanted, known := want[words[1]]; !known || !slices.Equal(has, wanted) {
			return false
		}
		found++
	}
	return found == len(want)
}

// hashes are the passwords' that are not empty, as Redis shows them, in order.
func hashes(passwords ...string) (all []string) {
	for _, password := range passwords {
		if password == "" {
			continue
		}
		sum := sha256.Sum256([]byte(password))
		all = append(all, "#"+hex.EncodeToString(sum[:]))
	}
	slices.Sort(all)
	return all
}
