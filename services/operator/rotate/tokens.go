package rotate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/cluster"
	"bookstore/services/operator/console"
	"bookstore/services/operator/provide"
	"bookstore/services/platform/wait"
)

// tokens gives new ones to who acts at Nomad and Consul without being a task, and to who calls the shop's API. Tasks have
// tokens that end with their allocations.
func (s *Shop) tokens(ctx context.Context) error {
	if err := s.alone(ctx); err != nil {
		return err
	}
	for _, run := range []func(context.Context) error{s.agentTokens, s.operatorAtConsul, s.operatorAtNomad, s.apiTokens} {
		if err := run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// atConsul is a token of Consul's that a file of Dir keeps.
type atConsul struct {
	file        string
	description string // of the tokens that the file has had, by which the old ones are found
	policy      string
	before      []string                                       // how Consul calls one that it made itself
	taken       func(ctx context.Context, secret string) error // has who acts with it use the new one
}

// agentTokens gives the agents of Consul and of Nomad new ones. Consul's is told by its API, Nomad's is started anew.
func (s *Shop) agentTokens(ctx context.Context) error {
	told := func(ctx context.Context, secret string) error {
		if err := s.Machine.Settle(ctx, "consul"); err != nil {
			return err
		}
		_, err := s.Cluster.Consul.Agent().UpdateAgentACLToken(secret, cluster.ConsulWrite(ctx))
		return err
	}
	restarted := func(ctx context.Context, _ string) error { return s.Machine.Restart(ctx) }
	for agent, taken := range map[string]func(context.Context, string) error{"consul": told, "nomad": restarted} {
		err := s.follow(ctx, atConsul{file: "agent." + agent, description: "the agents of " + agent, policy: "agent-" + agent, taken: taken})
		if err != nil {
			return err
		}
	}
	return nil
}

// operatorAtConsul gives the operator a new token at Consul.
func (s *Shop) operatorAtConsul(ctx context.Context) error {
	return s.follow(ctx, atConsul{
		file: "operator.consul", description: "the operator", policy: "global-management",
		before: []string{"Initial Management Token", "Bootstrap Token (Global Management)"},
		taken: func(ctx context.Context, _ string) error {
			if err := s.Machine.Operator(ctx); err != nil {
				return err
			}
			return s.reopen()
		},
	})
}

// follow has a token of Consul's follow another: it is made, it takes the other's place, the other is deleted.
func (s *Shop) follow(ctx context.Context, t atConsul) error {
	secret, err := s.successor(t.file, uuid.NewString)
	if err != nil {
		return err
	}
	own := cluster.ConsulQuery(ctx)
	own.Token = secret
	made, _, err := s.Cluster.Consul.ACL().TokenReadSelf(own)
	if err != nil {
		made, _, err = s.Cluster.Consul.ACL().TokenCreate(&consul.ACLToken{
			SecretID: secret, Description: t.description, Policies: []*consul.ACLLink{{Name: t.policy}},
		}, cluster.ConsulWrite(ctx))
	}
	if err != nil {
		return fmt.Errorf("make the token %s: %w", t.file, err)
	}
	if err := s.succeed(t.file); err != nil {
		return err
	}
	if err := t.taken(ctx, secret); err != nil {
		return err
	}
	return s.deleteOthers(ctx, t, made.AccessorID)
}

func (s *Shop) deleteOthers(ctx context.Context, t atConsul, accessor string) error {
	acl := s.Cluster.Consul.ACL()
	all, _, err := acl.TokenList(cluster.ConsulQuery(ctx))
	if err != nil {
		return fmt.Errorf("list Consul's tokens: %w", err)
	}
	deleted := 0
	for _, one := range all {
		if one.AccessorID == accessor || one.Description != t.description && !slices.Contains(t.before, one.Description) {
			continue
		}
		if _, err := acl.TokenDelete(one.AccessorID, cluster.ConsulWrite(ctx)); err != nil {
			return fmt.Errorf("delete the old token %s: %w", t.file, err)
		}
		deleted++
	}
	s.Out.Sayf("%s: a new token is in use, %d old ones are void", t.file, deleted)
	return nil
}

// operatorName is what Nomad calls the operator's token, but the first, to which it gave a name itself.
const (
	operatorName = "operator"
	firstName    = "Bootstrap Token"
)

// operatorAtNomad gives the operator a new token at Nomad, which chooses it: one that was made and not kept is deleted
// with the old ones.
func (s *Shop) operatorAtNomad(ctx context.Context) error {
	made, _, err := s.Cluster.Nomad.ACLTokens().Create(&nomad.ACLToken{Name: operatorName, Type: "management", Global: true}, cluster.Write(ctx))
	if err != nil {
		return fmt.Errorf("make the operator's token at Nomad: %w", err)
	}
	if err := s.keep("operator.nomad", made.SecretID); err != nil {
		return err
	}
	if err := s.Machine.Operator(ctx); err != nil {
		return err
	}
	if err := s.reopen(); err != nil {
		return err
	}
	tokens := s.Cluster.Nomad.ACLTokens()
	all, _, err := tokens.List(cluster.Query(ctx))
	if err != nil {
		return fmt.Errorf("list Nomad's tokens: %w", err)
	}
	deleted := 0
	for _, one := range all {
		if one.AccessorID == made.AccessorID || one.Name != operatorName && one.Name != firstName {
			continue
		}
		if _, err := tokens.Delete(one.AccessorID, cluster.Write(ctx)); err != nil {
			return fmt.Errorf("delete the operator's old token at Nomad: %w", err)
		}
		deleted++
	}
	s.Out.Sayf("operator.nomad: a new token is in use, %d old ones are void", deleted)
	return nil
}

// While tokens of the API are rotated the gateway takes two of each kind: that of the item <kind>_token, which callers are
// given, and that of <kind>_token_other. The item given is there once the new one is in the first.
const (
	other = "_other"
	given = "tokens_given"
)

// apiTokens gives who calls the shop's API new tokens. The gateways take them before anybody is given one; then they take
// the old ones for s.Grace still, in which callers have to get the new ones ('shop token').
func (s *Shop) apiTokens(ctx context.Context) error {
	var probe string // one of the new tokens, then of the old ones: they change together
	_, err := s.Cluster.Change(ctx, "gateway", func(items nomad.VariableItems) {
		for _, kind := range provide.Tokens {
			if name := kind + "_token"; items[name+other] == "" {
				items[name+other] = provide.Password()
			}
		}
		probe = items[provide.Tokens[0]+"_token"+other]
	})
	if err == nil {
		err = s.awaitAPI(ctx, "takes the new tokens", probe, true)
	}
	if err != nil {
		return err
	}
	_, err = s.Cluster.Change(ctx, "gateway", func(items nomad.VariableItems) {
		if items[given] != "" {
			return
		}
		for _, kind := range provide.Tokens {
			name := kind + "_token"
			items[name], items[name+other] = items[name+other], items[name]
		}
		items[given] = "new"
	})
	if err != nil {
		return err
	}
	s.Out.Sayf("the API's tokens are new; it takes the old ones for %s more", s.Grace)
	if !wait.For(ctx, s.Grace) {
		return ctx.Err()
	}
	_, err = s.Cluster.Change(ctx, "gateway", func(items nomad.VariableItems) {
		for _, kind := range provide.Tokens {
			probe = items[kind+"_token"+other]
			delete(items, kind+"_token"+other)
		}
		delete(items, given)
	})
	if err == nil {
		err = s.awaitAPI(ctx, "refuses the old tokens", probe, false)
	}
	if err == nil {
		s.Out.Sayf("the API's old tokens are void")
	}
	return err
}

// awaitAPI waits until every gateway takes a token, or none does: Nomad renders their file at once, they look at it every
// second.
func (s *Shop) awaitAPI(ctx context.Context, does, token string, taken bool) error {
	until := console.Wait{For: "that every gateway " + does, Limit: time.Minute, Hint: "'go tool task logs -- gateway' shows why"}
	return s.Out.Wait(ctx, until, func(ctx context.Context) (string, error) {
		all, some, err := s.Machine.Accepts(ctx, s.Cluster, token)
		if err != nil {
			return "the shop does not answer: " + err.Error(), nil //nolint:nilerr // the next look may be answered
		}
		if taken && !all || !taken && some {
			return "not every gateway " + does + " yet", nil
		}
		return "", nil
	})
}
