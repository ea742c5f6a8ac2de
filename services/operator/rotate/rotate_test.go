package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	here "bookstore/services/operator/machine"
	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/provide"
	"bookstore/services/operator/rotate"
)

const operator = "5d0f1f0e-59a4-4a3c-9d0b-30a3a6f3f3c1"

var errBroken = errors.New("broken off")

// machine is one whose scripts do nothing, and on which a run is broken off at a call.
type machine struct {
	dir           string
	nomad, consul string // addresses
	calls         int
	breaks        int // at this call; 0: never
}

func (m *machine) call() error {
	m.calls++
	if m.calls == m.breaks {
		return errBroken
	}
	return nil
}

func (m *machine) Start(context.Context) error          { return nil }
func (m *machine) Settle(context.Context, string) error { return m.call() }
func (m *machine) Reload() error                        { return m.call() }
func (m *machine) Restart(context.Context) error        { return m.call() }
func (m *machine) Certify(context.Context) error        { return m.call() }
func (m *machine) Operator(context.Context) error       { return m.call() }

func (m *machine) NewCA(context.Context) (certificate, key string, err error) {
	return "a CA", "a key", m.call()
}

// Accepts is what a gateway does with the variable of now.
func (m *machine) Accepts(ctx context.Context, _ *cluster.Cluster, token string) (all, some bool, err error) {
	c, err := m.open()
	if err != nil {
		return false, false, err
	}
	items, err := c.Items(ctx, "gateway")
	for _, one := range items {
		some = some || one == token
	}
	return some, some, errors.Join(err, m.call())
}

// Open is with the tokens in the folder.
func (m *machine) Open() (*cluster.Cluster, error) {
	if err := m.call(); err != nil {
		return nil, err
	}
	return m.open()
}

func (m *machine) open() (*cluster.Cluster, error) {
	n, err := nomad.NewClient(&nomad.Config{Address: m.nomad, SecretID: m.text("operator.nomad")})
	if err != nil {
		return nil, err
	}
	c, err := consul.NewClient(&consul.Config{Address: m.consul, Token: m.text("operator.consul")})
	return &cluster.Cluster{Nomad: n, Consul: c}, err
}

func (m *machine) text(name string) string {
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// A run may be broken off at any of its calls: the next one leaves new secrets alone, and nothing of the old ones.
func TestARunThatIsBrokenOffIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	m := locked(t)
	for m.breaks = 1; ; m.breaks++ {
		before := map[string]string{}
		for _, name := range files {
			before[name] = m.text(name)
		}
		broken := m.run(t)
		if broken == nil {
			break // it has fewer calls
		}
		if !errors.Is(broken, errBroken) {
			t.Fatal(broken)
		}
		at := m.breaks
		m.breaks = 0
		if err := m.run(t); err != nil {
			t.Fatalf("after a run that was broken off at call %d: %v", at, err)
		}
		m.breaks = at
		m.requireWhole(t, before)
		if t.Failed() {
			t.Fatalf("broken off at call %d", at)
		}
	}
	if m.breaks < 8 {
		t.Errorf("a run has %d calls", m.breaks)
	}
}

func TestAnUnknownKindIsNamed(t *testing.T) {
	t.Parallel()
	shop := rotate.Shop{Out: console.Console{Out: io.Discard}}
	if err := shop.Run(t.Context(), "gossip", "locks"); err == nil || !strings.Contains(err.Error(), `"locks"`) {
		t.Errorf("%v", err)
	}
}

// files are those that the test rotates.
var files = []string{"consul.gossip", "nomad.gossip", "operator.consul", "operator.nomad", "agent.consul", "agent.nomad"}

// locked is a machine with a cluster that has all that is rotated.
func locked(t *testing.T) *machine {
	t.Helper()
	c := operatortest.StartLocked(t, operator)
	m := &machine{dir: t.TempDir(), nomad: c.Nomad.Address()}
	self, err := c.Consul.Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	addresses, ok := self["DebugConfig"]["HTTPAddrs"].([]any)
	if !ok || len(addresses) == 0 {
		t.Fatalf("Consul has the addresses %v", self["DebugConfig"]["HTTPAddrs"])
	}
	m.consul = strings.TrimPrefix(fmt.Sprint(addresses[0]), "tcp://")
	root, err := here.Root()
	if err != nil {
		t.Fatal(err)
	}
	keys := provide.Keys{Operator: operator, JWKS: m.nomad + "/.well-known/jwks.json"}
	if err := provide.Access(t.Context(), c, filepath.Join(root, "jobs/acl"), keys); err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text := operator
		switch {
		case strings.HasSuffix(name, ".gossip"):
			text = operatortest.Gossip
		case strings.HasPrefix(name, "agent."):
			token := &consul.ACLToken{Description: "the agents of " + strings.TrimPrefix(name, "agent.")}
			if token, _, err = c.Consul.ACL().TokenCreate(token, nil); err != nil {
				t.Fatal(err)
			}
			text = token.SecretID
		}
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Change(t.Context(), "gateway", func(items nomad.VariableItems) {
		for _, kind := range provide.Tokens {
			items[kind+"_token"] = "the first of " + kind
		}
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) run(t *testing.T) error {
	t.Helper()
	m.calls = 0
	c, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	shop := rotate.Shop{Cluster: c, Out: console.Console{Out: io.Discard}, Dir: m.dir, Machine: m}
	return shop.Run(t.Context(), "gossip", "tokens")
}

// requireWhole: every secret is another than before, and there is none beside.
func (m *machine) requireWhole(t *testing.T, before map[string]string) {
	t.Helper()
	for name, was := range before {
		if m.text(name) == was {
			t.Errorf("%s is as it was", name)
		}
	}
	if left, err := filepath.Glob(filepath.Join(m.dir, "*.ne*")); err != nil || len(left) > 0 {
		t.Errorf("%v are left over: %v", left, err)
	}
	c, err := m.open()
	if err != nil {
		t.Fatal(err)
	}
	pools, err := c.Consul.Operator().KeyringList(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, pool := range pools {
		if len(pool.Keys) != 1 || pool.Keys[m.text("consul.gossip")] == 0 {
			t.Errorf("Consul's gossip has the keys %v", pool.Keys)
		}
	}
	if pool, err := c.Nomad.Agent().ListKeys(); err != nil || len(pool.Keys) != 1 || pool.Keys[m.text("nomad.gossip")] == 0 {
		t.Errorf("Nomad's gossip has the keys %v: %v", pool, err)
	}
	const ofAll = 4 // the operator's, those of two kinds of agents, the anonymous one
	if tokens, _, err := c.Consul.ACL().TokenList(nil); err != nil || len(tokens) != ofAll {
		t.Errorf("Consul has %d tokens, want %d: %v", len(tokens), ofAll, err)
	}
	for _, name := range []string{"operator.consul", "agent.consul", "agent.nomad"} {
		if _, _, err := c.Consul.ACL().TokenReadSelf(&consul.QueryOptions{Token: m.text(name)}); err != nil {
			t.Errorf("Consul does not know %s: %v", name, err)
		}
	}
	if tokens, _, err := c.Nomad.ACLTokens().List(nil); err != nil || len(tokens) != 1 {
		t.Errorf("Nomad has %d tokens: %v", len(tokens), err)
	}
	if items, err := c.Items(t.Context(), "gateway"); err != nil || len(items) != len(provide.Tokens) {
		t.Errorf("the gateway has the tokens %v: %v", items, err)
	}
}
