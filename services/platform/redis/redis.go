// Package redis connects to the Redis Cluster. Members, credentials, certificate and mesh
// authority stand in files that are read again as they change, so that a node
// that moves or a secret that rotates needs no restart.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"bookstore/services/platform/dial"
	"bookstore/services/platform/meshtls"
)

// Config names the files.
type Config struct {
	MembersFile     string `env:"REDIS_MEMBERS_FILE"`                   // one host:port a line
	CredentialsFile string `env:"REDIS_CREDENTIALS_FILE"`               // user:password; empty: none
	CAFile          string `env:"REDIS_CA_FILE"`                        // PEM; empty: no TLS
	LeafFile        string `env:"REDIS_LEAF_FILE"`                      // PEM of the own certificate and its key; empty: none is shown
	TLSService      string `env:"REDIS_TLS_SERVICE" envDefault:"redis"` // the mesh service to accept
}

const (
	dialTimeout = 500 * time.Millisecond
	callTimeout = 500 * time.Millisecond
	poolSize    = 32
	// Connections to replicas are kept too, so that the first call after a failover needs no handshake.
	idleConns = 2
	// The client's default is a minute, for which it would call a failed master in vain. A failed call reloads the
	// cluster's state at once: see watch.
	reloadEvery = 2 * time.Second
	maxBackoff  = 100 * time.Millisecond
	// membersEvery is the time between two reads of the member file.
	membersEvery = time.Second
	// warmTime bounds how long calls go on through the client of former members.
	warmTime = time.Second
)

// Client is a cluster client that follows the member file. Connections are
// made when they are needed: the cluster need not be there.
type Client struct {
	config Config

	mu      sync.Mutex
	members string
	checked time.Time
	current *goredis.ClusterClient
	retired *goredis.ClusterClient // still finishing its last calls
	warming bool
	warm    sync.WaitGroup
}

// Open makes a client. The member file must be readable, and may be empty.
func Open(c Config) (*Client, error) {
	client := &Client{config: c}
	client.mu.Lock()
	defer client.mu.Unlock()
	if err := client.follow(); err != nil {
		return nil, err
	}
	return client, nil
}

// Cluster returns the client of the current members. Do not keep it: call Cluster again for every use. Calls keep to
// their contexts' deadlines; without one, a call to a node that does not answer takes half a second.
func (c *Client) Cluster() *goredis.ClusterClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.warming && time.Since(c.checked) >= membersEvery {
		// A file that cannot be read leaves the members known before.
		_ = c.follow()
	}
	return c.current
}

// Ping checks that the cluster answers.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.Cluster().Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	return nil
}

// Close ends all connections.
func (c *Client) Close() error {
	c.warm.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.current.Close()
	if c.retired != nil {
		err = errors.Join(err, c.retired.Close())
	}
	return err
}

// follow makes a new cluster client if the members have changed; the caller
// holds mu.
func (c *Client) follow() error {
	c.checked = time.Now()
	content, err := os.ReadFile(c.config.MembersFile)
	if err != nil {
		return fmt.Errorf("read redis members: %w", err)
	}
	if c.current != nil && string(content) == c.members {
		return nil
	}
	c.members = string(content)
	next := c.config.connect(strings.Fields(c.members))
	if c.current == nil {
		c.current = next
		return nil
	}
	c.warming = true
	c.warm.Go(func() { c.replace(next) })
	return nil
}

// replace lets the new client load the slots and connect to every master before it takes calls.
func (c *Client) replace(next *goredis.ClusterClient) {
	ctx, cancel := context.WithTimeout(context.Background(), warmTime)
	defer cancel()
	// Where nobody answers, the former members would not either.
	_ = next.ForEachMaster(ctx, func(ctx context.Context, master *goredis.Client) error { return master.Ping(ctx).Err() })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired != nil {
		_ = c.retired.Close()
	}
	c.retired, c.current, c.warming = c.current, next, false
}

func (c Config) connect(members []string) *goredis.ClusterClient {
	cluster := goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs:                      members,
		Dialer:                     c.dial,
		CredentialsProviderContext: c.credentials,
		DialTimeout:                dialTimeout,
		DialerRetries:              1, // a call is repeated, and may then go elsewhere
		ReadTimeout:                callTimeout,
		WriteTimeout:               callTimeout,
		ContextTimeoutEnabled:      true,
		MaxRetryBackoff:            maxBackoff,
		PoolSize:                   poolSize,
		PipelinePoolSize:           -1, // pipelines use the same connections, which are there before they are needed
		MinIdleConns:               idleConns,
		ClusterStateReloadInterval: reloadEvery,
		// They would request the list of all commands before the first of a kind, which
		// delays all callers for seconds when no node answers.
		DisableRoutingPolicies: true,
		// It would send two commands on each new connection that this Redis does not know.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	cluster.OnNewNode(func(node *goredis.Client) { node.AddHook(watch{cluster}) })
	return cluster
}

// dial reads the mesh authority and the own certificate for every connection: they rotate.
func (c Config) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	plain := dial.Dialer(dialTimeout)
	if c.CAFile == "" {
		return plain.DialContext(ctx, network, addr)
	}
	trust, err := meshtls.Client(c.CAFile, c.TLSService)
	if err != nil {
		return nil, err
	}
	if c.LeafFile != "" {
		if trust.Certificates, err = meshtls.Leaf(c.LeafFile); err != nil {
			return nil, err
		}
	}
	return (&tls.Dialer{NetDialer: plain, Config: trust}).DialContext(ctx, network, addr)
}

func (c Config) credentials(context.Context) (username, password string, err error) {
	if c.CredentialsFile == "" {
		return "", "", nil
	}
	content, err := os.ReadFile(c.CredentialsFile)
	if err != nil {
		return "", "", fmt.Errorf("read redis credentials: %w", err)
	}
	username, password, ok := strings.Cut(strings.TrimSpace(string(content)), ":")
	if !ok {
		return "", "", fmt.Errorf("%s is not of the form user:password", c.CredentialsFile)
	}
	return username, password, nil
}

// watch makes the cluster client reload its slots as soon as a call fails as calls to a dead or frozen node do. By itself
// the client learns of a new master by a redirection, which a dead node does not send. It reloads at most every 200 ms.
type watch struct{ cluster *goredis.ClusterClient }

var _ goredis.Hook = watch{}

// DialHook leaves dialling as it is: a failed dial fails the call.
func (watch) DialHook(next goredis.DialHook) goredis.DialHook { return next }

// ProcessHook examines the result of each try of a command.
func (w watch) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		w.examine(ctx, err)
		return err
	}
}

// ProcessPipelineHook examines the result of each try of several commands.
func (w watch) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		w.examine(ctx, err)
		return err
	}
}

func (w watch) examine(ctx context.Context, err error) {
	if unreachable(err) {
		w.cluster.ReloadState(ctx)
	}
}

// unreachable tells whether no node, or none that serves the key, gave an answer.
func unreachable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var answer goredis.Error
	return !errors.As(err, &answer) || goredis.IsClusterDownError(err)
}
