// Package rotate gives the shop new keys, certificates, passwords and tokens while it serves.
//
// Every step goes the same way: what is new is made and kept; everybody takes both, the old and the new; everybody uses
// the new one; only then is the old one void. So at no time is anybody refused, in whatever order they change. What is
// new is kept (in a file whose name ends in .next, in a variable, in Consul) before it is told to anybody. A step that
// was broken off is completed by the next run, which takes what was kept.
package rotate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"bookstore/services/operator/backups"
	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/database"
	"bookstore/services/operator/provide"
	"bookstore/services/operator/redis"
)

// Shop is what is rotated, and how this machine is told.
type Shop struct {
	Cluster *cluster.Cluster // as the keys in Dir reach it: its clients are replaced when those are
	Out     console.Console
	Dir     string // of the keys and tokens
	Machine Machine
	Grace   time.Duration // how long the API takes its old tokens still
}

// Machine is what the provision scripts do on a machine, and what only they know.
type Machine interface {
	// Start has settings and agents be as the keys in Dir say, where a run before this was broken off, and returns when they
	// work together.
	Start(ctx context.Context) error
	// Settle writes the settings of an agent ("consul", "nomad") as the keys in Dir say, and leaves the agent running.
	Settle(ctx context.Context, agent string) error
	// Reload has both agents read their certificates and whom they trust again.
	Reload() error
	// Restart starts Nomad's agent anew, with its settings as Settle writes them, and returns when it works with Consul. The
	// jobs run on meanwhile.
	Restart(ctx context.Context) error
	// Certify makes this machine's certificate anew, by the CA that is to come where there is one, and has the agents show it.
	Certify(ctx context.Context) error
	// NewCA makes a CA.
	NewCA(ctx context.Context) (certificate, key string, err error)
	// Operator writes the operator's settings (operator.env) as the keys in Dir say.
	Operator(ctx context.Context) error
	// Accepts tells of a token of the API whether all gateways take it, and whether any does.
	Accepts(ctx context.Context, c *cluster.Cluster, token string) (all, some bool, err error)
	// Open makes clients with those settings.
	Open() (*cluster.Cluster, error)
}

// reopen has the cluster's clients act with the keys that are in Dir now.
func (s *Shop) reopen() error {
	now, err := s.Machine.Open()
	if err != nil {
		return err
	}
	*s.Cluster = *now
	return nil
}

// step is one kind of secrets.
type step struct {
	name  string
	does  string // for a reader of the command's help
	run   func(*Shop, context.Context) error
	asked bool // it runs only where it is named: another does more, or it costs something
}

// steps in the order in which they run: who talks to whom comes before what they say.
var steps = []step{
	{name: "gossip", does: "keys of the gossip between the agents of Consul, and of Nomad", run: (*Shop).gossip},
	{name: "agents", does: "certificates of the agents", run: (*Shop).agents, asked: true},
	{name: "ca", does: "the shop's own CA, and the certificates of the agents by it", run: (*Shop).ca},
	{name: "mesh", does: "root CA of the mesh, and every certificate in it", run: (*Shop).mesh},
	{name: "passwords", does: "passwords of the services at their databases", run: (*Shop).passwords},
	{name: "redis", does: "passwords of the users of the cache", run: (*Shop).redis},
	{name: "tokens", does: "tokens of the operator and the agents at Nomad and Consul, and those of the shop's API", run: (*Shop).tokens},
	{name: "backup", does: "key of the backups, after which no moment of before can be restored", run: (*Shop).backup, asked: true},
}

// Names are the kinds of secrets, in the order in which they are rotated.
func Names() (names []string) {
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// Help says what each kind is.
func Help() string {
	var text strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&text, "  %-10s %s\n", s.name, s.does)
	}
	return text.String()
}

// Run rotates the kinds of secrets that are named, or all that cost nothing. It ends at the first error; then it is to be run again.
func (s *Shop) Run(ctx context.Context, names ...string) error {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("there is no %q to rotate: name %s", name, strings.Join(Names(), ", "))
		}
	}
	if err := s.Machine.Start(ctx); err != nil {
		return err
	}
	if err := s.reopen(); err != nil {
		return err
	}
	for _, one := range steps {
		if !slices.Contains(names, one.name) && (len(names) > 0 || one.asked) {
			continue
		}
		s.Out.Stagef("%s: %s", one.name, one.does)
		if err := one.run(s, ctx); err != nil {
			return fmt.Errorf("rotate %s: %w; what was begun is completed by running this again", one.name, err)
		}
	}
	return nil
}

// backup gives the backups a new key.
func (s *Shop) backup(ctx context.Context) error { return backups.Rotate(ctx, s.Cluster, s.Out) }

// passwords gives the services new passwords at their databases.
func (s *Shop) passwords(ctx context.Context) error {
	return database.Rotate(ctx, s.Cluster, s.Out, provide.Services)
}

// redis gives the users of the cache new passwords.
func (s *Shop) redis(ctx context.Context) error { return redis.Rotate(ctx, s.Cluster, s.Out) }
