// Package cluster is the shop's Nomad and Consul as an operator reaches them: from outside, through their APIs.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/operator/machine"
)

// ErrDown says that Nomad or Consul does not answer, and what to do.
var ErrDown = errors.New("the shop is down: 'go tool task up' brings it up")

// Cluster is both of them.
type Cluster struct {
	Nomad  *nomad.Client
	Consul *consul.Client
}

// Open makes the clients, and asks nobody yet. Where neither NOMAD_ADDR nor CONSUL_HTTP_ADDR says otherwise, the agents
// are this machine's, with the operator's tokens, which root alone can read.
func Open() (*Cluster, error) {
	toNomad, toConsul := nomad.DefaultConfig(), consul.DefaultConfig()
	if os.Getenv("NOMAD_ADDR") == "" && os.Getenv("CONSUL_HTTP_ADDR") == "" {
		s, err := machine.Operator()
		if err != nil {
			return nil, err
		}
		toNomad.Address, toNomad.SecretID, toNomad.TLSConfig = s["NOMAD_ADDR"], s["NOMAD_TOKEN"], &nomad.TLSConfig{CACert: s["NOMAD_CACERT"]}
		toConsul.Address, toConsul.Token, toConsul.TLSConfig = s["CONSUL_HTTP_ADDR"], s["CONSUL_HTTP_TOKEN"], consul.TLSConfig{CAFile: s["CONSUL_CACERT"]}
	}
	n, err := nomad.NewClient(toNomad)
	if err != nil {
		return nil, fmt.Errorf("NOMAD_ADDR: %w", err)
	}
	c, err := consul.NewClient(toConsul)
	if err != nil {
		return nil, fmt.Errorf("CONSUL_HTTP_ADDR: %w", err)
	}
	return &Cluster{Nomad: n, Consul: c}, nil
}

// Ready returns ErrDown unless Consul has a leader and Nomad a node that takes work.
func (c *Cluster) Ready(ctx context.Context) error {
	leader, err := c.Consul.Status().LeaderWithQueryOptions(ConsulQuery(ctx))
	if err != nil || leader == "" {
		return ErrDown
	}
	hosts, err := c.Hosts(ctx)
	if err != nil || len(hosts) == 0 {
		return ErrDown
	}
	return nil
}

// Query are the options of a read from Nomad that ends with ctx.
func Query(ctx context.Context) *nomad.QueryOptions {
	return (&nomad.QueryOptions{}).WithContext(ctx)
}

// Write are those of a write to Nomad that ends with ctx.
func Write(ctx context.Context) *nomad.WriteOptions {
	return (&nomad.WriteOptions{}).WithContext(ctx)
}

// ConsulQuery are the options of a read from Consul that ends with ctx.
func ConsulQuery(ctx context.Context) *consul.QueryOptions {
	return (&consul.QueryOptions{}).WithContext(ctx)
}

// ConsulWrite are those of a write to Consul that ends with ctx.
func ConsulWrite(ctx context.Context) *consul.WriteOptions {
	return (&consul.WriteOptions{}).WithContext(ctx)
}

// missing tells whether Nomad answered that there is no such thing.
func missing(err error) bool {
	answer, ok := errors.AsType[nomad.UnexpectedResponseError](err)
	return ok && answer.StatusCode() == http.StatusNotFound
}
