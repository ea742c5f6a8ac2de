package provide_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/operator/operatortest"
	"bookstore/services/operator/provide"
)

const (
	operator = "5d0f1f0e-59a4-4a3c-9d0b-30a3a6f3f3c1"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	c := operatortest.StartLocked(t, operator)
	root, err := machine.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "jobs/acl")
	keys := provide.Keys{Operator: operator, JWKS: c.Nomad.Address() + "/.well-known/jwks.json"}
	for range 2 {
		if err := provide.Access(t.Context(), c, dir, keys); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("every policy is as its file says", func(t *testing.T) { t.Parallel(); policies(t, c, dir) })
	t.Run("who has no token may do nothing", func(t *testing.T) { t.Parallel(); nobody(t, c) })
	t.Run("the agents may do their work and no more", func(t *testing.T) { t.Parallel(); agents(t, c) })
	t.Run("an identity that Nomad did not sign is refused", func(t *testing.T) {
		t.Parallel()
		login := &consul.ACLLoginParams{AuthMethod: "nomad-workloads", BearerToken: "eyJhbGciOiJub25lIn0.e30."}
		if token, _, err := c.Consul.ACL().Login(login, nil); err == nil {
			t.Errorf("it became %v", token.Roles)
		}
	})
	t.Run("a policy that was changed by hand is what the file says again", func(t *testing.T) {
		there, _, err := c.Consul.ACL().PolicyReadByName("nomad-redis-redis", cluster.ConsulQuery(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		there.Rules = `key_prefix "" { policy = "write" }`
		if _, _, err := c.Consul.ACL().PolicyUpdate(there, cluster.ConsulWrite(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := provide.Access(t.Context(), c, dir, keys); err != nil {
			t.Fatal(err)
		}
		policies(t, c, dir)
	})
	t.Run("of two equal binding rules the newer one stays", func(t *testing.T) {
		rules, _, err := c.Consul.ACL().BindingRuleList("nomad-workloads", cluster.ConsulQuery(t.Context()))
		if err != nil || len(rules) != 2 {
			t.Fatalf("%d rules, %v", len(rules), err)
		}
		second := *rules[0]
		second.ID = ""
		newer, _, err := c.Consul.ACL().BindingRuleCreate(&second, cluster.ConsulWrite(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if err := provide.Access(t.Context(), c, dir, keys); err != nil {
			t.Fatal(err)
		}
		there, _, err := c.Consul.ACL().BindingRuleList("nomad-workloads", cluster.ConsulQuery(t.Context()))
		if err != nil || len(there) != 2 || there[0].ID != newer.ID && there[1].ID != newer.ID {
			t.Errorf("%d rules, %v", len(there), err)
		}
	})
	t.Run("another operator's token is refused", func(t *testing.T) {
		other := keys
		other.Operator = "7f1a2b3c-59a4-4a3c-9d0b-30a3a6f3f3c9"
		stranger := *c
		if stranger.Nomad, err = nomad.NewClient(&nomad.Config{Address: c.Nomad.Address(), SecretID: other.Operator}); err != nil {
			t.Fatal(err)
		}
		if err := provide.Access(t.Context(), &stranger, dir, other); err == nil || !strings.Contains(err.Error(), "does not know the operator's token") {
			t.Errorf("%v", err)
		}
	})
}

func policies(t *testing.T, c *cluster.Cluster, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "consul", "*.hcl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		name := "nomad-" + strings.TrimSuffix(filepath.Base(file), ".hcl")
		rules, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		policy, _, err := c.Consul.ACL().PolicyReadByName(name, cluster.ConsulQuery(t.Context()))
		if err != nil || policy == nil || policy.Rules != string(rules) {
			t.Errorf("the policy %s: %v, %v", name, policy, err)
		}
		role, _, err := c.Consul.ACL().RoleReadByName(name, cluster.ConsulQuery(t.Context()))
		if err != nil || role == nil || len(role.Policies) != 1 || role.Policies[0].Name != name {
			t.Errorf("the role %s: %v, %v", name, role, err)
		}
	}
	if rules, _, err := c.Consul.ACL().BindingRuleList("nomad-workloads", cluster.ConsulQuery(t.Context())); err != nil || len(rules) != 2 {
		t.Errorf("%d binding rules, %v", len(rules), err)
	}
	fence, _, err := c.Nomad.ACLPolicies().Info("patroni-fence", cluster.Query(t.Context()))
	if err != nil || fence.JobACL == nil || fence.JobACL.JobID != "patroni" || fence.JobACL.Group != "patroni" || fence.JobACL.Task != "fence" {
		t.Errorf("the policy of the fence: %v, %v", fence, err)
	}
}

func nobody(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	atNomad := cluster.Query(t.Context())
	atNomad.AuthToken = "00000000-0000-0000-0000-000000000001"
	if vars, _, err := c.Nomad.Variables().List(atNomad); err == nil {
		t.Errorf("it lists the variables: %v", vars)
	}
	atConsul := cluster.ConsulWrite(t.Context())
	atConsul.Token = "anonymous"
	if _, err := c.Consul.KV().Put(&consul.KVPair{Key: "service/patroni/config"}, atConsul); err == nil {
		t.Error("it writes Patroni's settings")
	}
	asked := cluster.ConsulQuery(t.Context())
	asked.Token = "anonymous"
	if leaf, _, err := c.Consul.Agent().ConnectCALeaf("books", asked); err == nil {
		t.Errorf("it has a certificate for %s", leaf.Service)
	}
}

func agents(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for name, policy := range map[string]string{"Consul": "agent-consul", "Nomad": "agent-nomad"} {
		token := &consul.ACLToken{Policies: []*consul.ACLLink{{Name: policy}}} // as 60-consul.sh makes it
		token, _, err := c.Consul.ACL().TokenCreate(token, cluster.ConsulWrite(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		asked := cluster.ConsulQuery(t.Context())
		asked.Token = token.SecretID
		if nodes, _, err := c.Consul.Catalog().Nodes(asked); err != nil || len(nodes) == 0 {
			t.Errorf("the agents of %s see the nodes %v: %v", name, nodes, err)
		}
		if keys, _, err := c.Consul.KV().Keys("", "", asked); err == nil && len(keys) > 0 {
			t.Errorf("the agents of %s read the keys %v", name, keys)
		}
		told := cluster.ConsulWrite(t.Context())
		told.Token = token.SecretID
		if _, err := c.Consul.KV().Put(&consul.KVPair{Key: "service/patroni/config"}, told); err == nil {
			t.Errorf("the agents of %s write Patroni's settings", name)
		}
		if _, _, err := c.Consul.ACL().TokenCreate(&consul.ACLToken{}, told); err == nil {
			t.Errorf("the agents of %s make tokens", name)
		}
	}
}
