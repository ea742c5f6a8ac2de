// Package care runs one node of the Redis Cluster: the server, what joins it to the cluster and
// mends that, and what has a replica take its dead master's place.
//
// Every node does the same from what it sees alone; no step needs an order, a leader or a job of
// its own, and each may be cut off half way and be repeated. jobs/redis/README.md describes the
// steps.
package care

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// callTimeout bounds a call to the node's own server.
	callTimeout = 2 * time.Second
	// restlessEvery is the time between two looks while something is amiss; quietEvery when all is
	// well and neither Consul nor the server's log has said anything.
	restlessEvery = time.Second
	quietEvery    = 5 * time.Second
	// stableFor is how long the cluster must be whole before slots are claimed or a master is
	// chosen: gossip about who owns what comes a little later than the news that a node is there.
	stableFor = 2 * time.Second
	// openFor is how long the move of a slot stands still before whoever moved it is thought gone.
	openFor = 5 * time.Second
)

// Config is the node's place, from the job's environment.
type Config struct {
	Conf    string `env:"REDIS_CONF,required"`
	Data    string `env:"REDIS_DATA" envDefault:"/data"`
	Socket  string `env:"REDIS_SOCKET" envDefault:"/tmp/redis.sock"`
	Secrets string `env:"REDIS_SECRETS,required"` // the folder of what secrets.go names
	Count   int    `env:"REDIS_COUNT,required"`   // how many nodes, as long as Consul has no key redis/count
	Index   int    `env:"REDIS_INDEX"`            // of the node in its job
	Address string `env:"REDIS_ADDRESS,required"`
	Port    string `env:"REDIS_PORT,required"`
	BusPort int    `env:"REDIS_BUS_PORT"` // 0: that of its index
}

// Node is one node of the cluster.
type Node struct {
	Config
	Directory *Directory
	Log       *slog.Logger

	redis                 *goredis.Client // of its own server
	roundBell, masterBell chan struct{}

	// What the rounds remember.
	count     int
	calmSince time.Time // zero: the cluster was not whole
	open      string    // slots that were open, since openSince
	openSince time.Time
	refused   map[refusal]int64 // what the server's ACL LOG had, and how often
}

// firstBusPort is the port of node 0 on the cluster's own bus, each node has the one of its index. Redis accepts there
// whoever has a certificate of the mesh, and asks for no user: these ports are none that Nomad gives out, so that the
// firewall lets nodes alone connect to them (vagrant/provision/52-egress.sh).
const firstBusPort = 32100

// NewNode makes a node; nothing runs yet.
func NewNode(c Config, d *Directory, log *slog.Logger) *Node {
	if c.BusPort == 0 {
		c.BusPort = firstBusPort + c.Index
	}
	return &Node{
		Config: c, Directory: d, Log: log,
		roundBell: make(chan struct{}, 1), masterBell: make(chan struct{}, 1),
		refused: map[refusal]int64{},
		redis: goredis.NewClient(&goredis.Options{
			Network: "unix", Addr: c.Socket, PoolSize: 2, MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
			CredentialsProviderContext: func(context.Context) (username, password string, err error) {
				password, err = c.password()
				return user, password, err
			},
			DisableIdentity:          true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		}),
	}
}

// Close ends the connections to the server.
func (n *Node) Close() error { return n.redis.Close() }

// Run runs the server with the arguments and cares for the node until the server ends, which it
// is asked to when ctx ends. It returns the server's exit status, or an error when it could not
// start. Both logs go to log.
func (n *Node) Run(ctx context.Context, args []string, log io.Writer) (status int, err error) {
	lock, err := n.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = lock.Close() }()
	server, logged, err := n.startServer(ctx, args, lock, log, func() { ring(n.roundBell); ring(n.masterBell) })
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Process.Signal(syscall.SIGTERM) })
	defer stop()

	caring, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { n.Directory.watch(caring, func() { ring(n.roundBell) }) })
	loops.Go(func() {
		n.awaitSocket(caring)
		loops.Go(func() { n.watchMaster(caring) })
		n.mend(caring)
	})
	err = server.Wait()
	cancel()
	loops.Wait()
	<-logged
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if how, ok := exit.Sys().(syscall.WaitStatus); ok && how.Signaled() {
			return 128 + int(how.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// Show returns what this node sees, a line for each node: index, id, role, slots and master.
func (n *Node) Show(ctx context.Context) (string, error) {
	if err := n.Directory.read(ctx); err != nil {
		return "", err
	}
	p, err := n.readPicture(ctx)
	return p.String(), err
}

// awaitSocket returns once the server has opened its socket, or ctx has ended.
func (n *Node) awaitSocket(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := os.Stat(n.Socket); err == nil {
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// mend looks and acts until ctx ends.
func (n *Node) mend(ctx context.Context) {
	for ctx.Err() == nil {
		n.reportRefused(ctx)
		quiet := n.round(ctx)
		sleep(ctx, restlessEvery)
		if !quiet {
			continue
		}
		select {
		case <-ctx.Done():
		case <-n.roundBell:
		case <-time.After(quietEvery - restlessEvery):
		}
	}
}

var errConsulUnknown = errors.New("it is not known from Consul which nodes there are")

// readPicture needs both what the node and what Consul know.
func (n *Node) readPicture(ctx context.Context) (picture, error) {
	peers, count, ok := n.Directory.known()
	if !ok {
		return picture{}, errConsulUnknown
	}
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	table, err := n.redis.ClusterNodes(within).Result()
	if err != nil {
		return picture{}, fmt.Errorf("read the table of nodes: %w", err)
	}
	return draw(table, peers, count)
}

// round reads the picture once and acts on it; quiet when there was nothing to do and nothing
// will be without news.
func (n *Node) round(ctx context.Context) (quiet bool) {
	p, err := n.readPicture(ctx)
	if err != nil {
		return false
	}
	if p.count != n.count {
		n.count, n.calmSince = p.count, time.Time{}
	}
	n.meet(ctx, p)
	if !p.whole() {
		n.calmSince = time.Time{}
		return false
	}
	if n.calmSince.IsZero() {
		n.calmSince = time.Now()
	}
	calm := time.Since(n.calmSince)
	if calm < stableFor {
		return false
	}
	n.forget(ctx, p)
	n.relink(ctx, p)
	n.closeSlots(ctx, p)
	if len(p.unowned(span{0, slots - 1})) > 0 {
		n.claim(ctx, p, calm)
		return false
	}
	next := p.due(calm)
	if next == nothing {
		waits := p.self.isMaster() && p.self.slots() == 0
		return !waits && n.open == ""
	}
	n.act(ctx, p, next)
	// What was done is seen by all before the next thing is.
	n.calmSince = time.Time{}
	return false
}

func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default: // it rings already
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
