package provide

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/machine"
	"bookstore/services/platform/wait"
)

// Keys are what the agents of a shop already have, made when the first machine was set up.
type Keys struct {
	Operator string // at Nomad
	CA       string // PEM of the certificate that signed the agents' own
	CAKey    string // its key; empty on a machine that only has what it was given
	JWKS     string // where Consul finds the keys that Nomad signs identities with
}

// JWKS is where Consul's agent finds Nomad's keys on its machine.
const JWKS = "https://127.0.0.1:4646/.well-known/jwks.json"

// KeysHere are those of this machine.
func KeysHere() (k Keys, err error) {
	k.JWKS = JWKS
	for file, into := range map[string]*string{"operator.nomad": &k.Operator, "ca.pem": &k.CA} {
		if *into, err = machine.Secret(file); err != nil {
			return Keys{}, fmt.Errorf("the keys of this shop are made by 'go tool task up': %w", err)
		}
	}
	if k.CAKey, err = machine.Secret("ca-key.pem"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Keys{}, err
	}
	return k, nil
}

// The names of what Consul checks the identities of Nomad's services and tasks by.
const (
	authMethod = "nomad-workloads" // Nomad's default name for it
	audience   = "consul.io"
	rolePrefix = "nomad-" // and then <job>-<task>, as the binding rule makes it of an identity's claims
)

// Access gives Nomad and Consul the policies in dir (jobs/acl), so that each task and agent may do what they say and
// nothing else. What is there already is made equal to the files; a token is never changed.
func Access(ctx context.Context, c *cluster.Cluster, dir string, keys Keys) error {
	if err := Bootstrap(ctx, c, keys.Operator); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return agents(ctx, c, dir) },
		func() error { return workloads(ctx, c, keys) },
		func() error { return consulRoles(ctx, c, filepath.Join(dir, "consul")) },
		func() error { return nomadPolicies(ctx, c, filepath.Join(dir, "nomad")) },
		func() error { return shareCA(ctx, c, keys.CA) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Bootstrap makes the operator's token Nomad's first, unless Nomad has one.
func Bootstrap(ctx context.Context, c *cluster.Cluster, secret string) error {
	_, _, err := c.Nomad.ACLTokens().BootstrapOpts(secret, cluster.Write(ctx))
	if answer, ok := errors.AsType[nomad.UnexpectedResponseError](err); ok && answer.StatusCode() == http.StatusBadRequest {
		if _, _, self := c.Nomad.ACLTokens().Self(cluster.Query(ctx)); self != nil {
			return fmt.Errorf("Nomad does not know the operator's token, and has had its first (%w): %w", err, self) //nolint:staticcheck // a name
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("give Nomad its first token: %w", err)
	}
	return nil
}

// agents has the policies of the agents of Consul and of Nomad be as their files say. Their tokens are made with Consul
// itself (60-consul.sh).
func agents(ctx context.Context, c *cluster.Cluster, dir string) error {
	for _, name := range []string{"consul", "nomad"} {
		if err := setConsulPolicy(ctx, c, "agent-"+name, filepath.Join(dir, "agents", name+".hcl")); err != nil {
			return err
		}
	}
	return nil
}

// workloads has Consul trust the identities that Nomad signs: a service is itself in the mesh, a task has the role that
// is named after it.
func workloads(ctx context.Context, c *cluster.Cluster, keys Keys) error {
	if err := identities(ctx, c, keys); err != nil {
		return err
	}
	return bindings(ctx, c)
}

// identities says where Consul finds the keys that identities are signed with.
func identities(ctx context.Context, c *cluster.Cluster, keys Keys) error {
	method := &consul.ACLAuthMethod{
		Name: authMethod,
		Type: "jwt",
		// Without a longest life of the tokens: Nomad does not renew them.
		Config: map[string]any{
			"JWKSURL":          keys.JWKS,
			"JWKSCACert":       keys.CA,
			"JWTSupportedAlgs": []string{"RS256"},
			"BoundAudiences":   []string{audience},
			"ClaimMappings": map[string]string{
				"nomad_namespace": "nomad_namespace",
				"nomad_job_id":    "nomad_job_id",
				"nomad_task":      "nomad_task",
				"nomad_service":   "nomad_service",
			},
		},
	}
	there, _, err := c.Consul.ACL().AuthMethodRead(authMethod, cluster.ConsulQuery(ctx))
	switch {
	case err != nil:
	case there == nil:
		_, _, err = c.Consul.ACL().AuthMethodCreate(method, cluster.ConsulWrite(ctx))
	default:
		_, _, err = c.Consul.ACL().AuthMethodUpdate(method, cluster.ConsulWrite(ctx))
	}
	if err != nil {
		return fmt.Errorf("have Consul trust Nomad's identities: %w", err)
	}
	return nil
}

// bindings say who an identity is at Consul.
func bindings(ctx context.Context, c *cluster.Cluster) error {
	rules, _, err := c.Consul.ACL().BindingRuleList(authMethod, cluster.ConsulQuery(ctx))
	if err != nil {
		return fmt.Errorf("list the binding rules: %w", err)
	}
	for _, rule := range []*consul.ACLBindingRule{
		{AuthMethod: authMethod, BindType: consul.BindingRuleBindTypeService, BindName: "${value.nomad_service}", Selector: `"nomad_service" in value`},
		{AuthMethod: authMethod, BindType: consul.BindingRuleBindTypeRole, BindName: rolePrefix + "${value.nomad_job_id}-${value.nomad_task}", Selector: `"nomad_service" not in value`},
	} {
		equal := slices.DeleteFunc(slices.Clone(rules), func(r *consul.ACLBindingRule) bool {
			return r.BindType != rule.BindType || r.BindName != rule.BindName || r.Selector != rule.Selector
		})
		if err := oneRule(ctx, c, rule, equal); err != nil {
			return err
		}
	}
	return nil
}

// oneRule has one of these equal rules be there, the newest: Terraform cannot take one over, and makes its own beside it.
func oneRule(ctx context.Context, c *cluster.Cluster, rule *consul.ACLBindingRule, there []*consul.ACLBindingRule) error {
	if len(there) == 0 {
		if _, _, err := c.Consul.ACL().BindingRuleCreate(rule, cluster.ConsulWrite(ctx)); err != nil {
			return fmt.Errorf("make the binding rule %s: %w", rule.BindName, err)
		}
		return nil
	}
	slices.SortFunc(there, func(a, b *consul.ACLBindingRule) int { return cmp.Compare(a.CreateIndex, b.CreateIndex) })
	for _, older := range there[:len(there)-1] {
		if _, err := c.Consul.ACL().BindingRuleDelete(older.ID, cluster.ConsulWrite(ctx)); err != nil {
			return fmt.Errorf("remove a second binding rule %s: %w", rule.BindName, err)
		}
	}
	return nil
}

// consulRoles makes a role and its policy of each file <job>-<task>.hcl.
func consulRoles(ctx context.Context, c *cluster.Cluster, dir string) error {
	return eachPolicy(dir, func(name, file string) error {
		role := rolePrefix + name
		if err := setConsulPolicy(ctx, c, role, file); err != nil {
			return err
		}
		there, _, err := c.Consul.ACL().RoleReadByName(role, cluster.ConsulQuery(ctx))
		if err == nil && there == nil {
			_, _, err = c.Consul.ACL().RoleCreate(&consul.ACLRole{Name: role, Policies: []*consul.ACLLink{{Name: role}}}, cluster.ConsulWrite(ctx))
		}
		if err != nil {
			return fmt.Errorf("make Consul's role %s: %w", role, err)
		}
		return nil
	})
}

func setConsulPolicy(ctx context.Context, c *cluster.Cluster, name, file string) error {
	rules, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	policy := &consul.ACLPolicy{Name: name, Rules: string(rules)}
	there, _, err := c.Consul.ACL().PolicyReadByName(name, cluster.ConsulQuery(ctx))
	switch {
	case err != nil:
	case there == nil:
		_, _, err = c.Consul.ACL().PolicyCreate(policy, cluster.ConsulWrite(ctx))
	case there.Rules != policy.Rules:
		policy.ID = there.ID
		_, _, err = c.Consul.ACL().PolicyUpdate(policy, cluster.ConsulWrite(ctx))
	}
	if err != nil {
		return fmt.Errorf("give Consul the policy in %s: %w", file, err)
	}
	return nil
}

// nomadPolicies gives Nomad each file <job>-<task>.hcl as the policy of that task, whose group has the job's name, and
// <job>-<group>-<task>.hcl as that of one whose group has another.
func nomadPolicies(ctx context.Context, c *cluster.Cluster, dir string) error {
	return eachPolicy(dir, func(name, file string) error {
		rules, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		job, task, _ := strings.Cut(name, "-")
		group := job
		if other, its, ok := strings.Cut(task, "-"); ok {
			group, task = other, its
		}
		policy := &nomad.ACLPolicy{
			Name: name, Rules: string(rules),
			JobACL: &nomad.JobACL{Namespace: nomad.DefaultNamespace, JobID: job, Group: group, Task: task},
		}
		if _, err := c.Nomad.ACLPolicies().Upsert(policy, cluster.Write(ctx)); err != nil {
			return fmt.Errorf("give Nomad the policy in %s: %w", file, err)
		}
		return nil
	})
}

func eachPolicy(dir string, do func(name, file string) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("there is no policy in %s", dir)
	}
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := do(strings.TrimSuffix(filepath.Base(file), ".hcl"), file); err != nil {
			return err
		}
	}
	return nil
}

// TrustCA has Consul and every job trust these certificates: Consul where it asks Nomad for the keys of identities, the jobs
// in nomad/jobs, which every job may read.
func TrustCA(ctx context.Context, c *cluster.Cluster, keys Keys) error {
	if err := identities(ctx, c, keys); err != nil {
		return err
	}
	return shareCA(ctx, c, keys.CA)
}

// keyed bounds how long a Nomad that has just started may be without the key that it keeps variables with.
const keyed = 30 * time.Second

// shareCA puts the CA where every job may read it: nomad/jobs.
func shareCA(ctx context.Context, c *cluster.Cluster, ca string) error {
	for until := time.Now().Add(keyed); ; {
		_, err := c.ChangeShared(ctx, func(items nomad.VariableItems) { items["agent_ca"] = ca })
		if err == nil || time.Now().After(until) || !strings.Contains(err.Error(), "keyring has not been initialized") {
			return err
		}
		if !wait.For(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}
