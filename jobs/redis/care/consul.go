package care

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	countKey    = "redis/count"
	serviceName = "redis"
	// longPoll is how long Consul keeps a question for which there is nothing new.
	longPoll = 5 * time.Minute
	// retryAfter is the least time between two queries: it bounds the rate both while Consul is away and while it
	// answers at once.
	retryAfter = time.Second
)

// peer is a node that Consul lists, healthy or not.
type peer struct {
	addr      string // host:port for clients
	host      string
	port, bus int
	index     int
}

// Directory is what Consul knows about the nodes. It is kept up to date by long polls.
type Directory struct {
	Client *api.Client
	// Count holds as long as Consul has no key redis/count.
	Count int
	Log   *slog.Logger

	mu     sync.Mutex
	peers  []peer // nil: not known
	wanted int    // 0: not known
}

// watch keeps the directory up to date and rings at each change until ctx ends.
func (d *Directory) watch(ctx context.Context, ring func()) {
	var both sync.WaitGroup
	both.Go(func() { d.follow(ctx, "the nodes in Consul", d.readPeers, d.forgetPeers, ring) })
	both.Go(func() { d.follow(ctx, "the key "+countKey, d.readCount, d.forgetCount, ring) })
	both.Wait()
}

// known is false while Consul does not say: then nothing may be decided.
func (d *Directory) known() (peers []peer, count int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peers, d.wanted, len(d.peers) > 0 && d.wanted > 0
}

// read asks once, without waiting for a change.
func (d *Directory) read(ctx context.Context) error {
	_, err := d.readPeers((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return err
	}
	_, err = d.readCount((&api.QueryOptions{}).WithContext(ctx))
	return err
}

// follow repeats a question; each answer waits until there is something new.
func (d *Directory) follow(ctx context.Context, what string, read func(*api.QueryOptions) (uint64, error), forget, ring func()) {
	var index uint64
	failing := false
	for ctx.Err() == nil {
		began := time.Now()
		next, err := read((&api.QueryOptions{WaitIndex: index, WaitTime: longPoll}).WithContext(ctx))
		switch {
		case err == nil:
			if next < index {
				next = 0 // Consul's state was restored: ask without waiting
			}
			index, failing = next, false
		case ctx.Err() == nil:
			if !failing {
				d.Log.WarnContext(ctx, "cannot read "+what, "error", err.Error())
			}
			index, failing = 0, true
			forget()
		}
		ring()
		sleep(ctx, retryAfter-time.Since(began))
	}
}

func (d *Directory) readPeers(options *api.QueryOptions) (uint64, error) {
	services, meta, err := d.Client.Catalog().Service(serviceName, "", options)
	if err != nil {
		return 0, fmt.Errorf("list the service %s: %w", serviceName, err)
	}
	var peers []peer
	for _, s := range services {
		index, err := strconv.Atoi(s.ServiceMeta["index"])
		bus := firstBusPort + index
		if own, ok := s.ServiceMeta["bus_port"]; ok && err == nil {
			bus, err = strconv.Atoi(own)
		}
		if err != nil {
			return 0, fmt.Errorf("meta of %s: %w", s.ServiceID, err)
		}
		peers = append(peers, peer{
			addr: net.JoinHostPort(s.ServiceAddress, strconv.Itoa(s.ServicePort)),
			host: s.ServiceAddress, port: s.ServicePort, bus: bus, index: index,
		})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers = peers
	return meta.LastIndex, nil
}

func (d *Directory) forgetPeers() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers = nil
}

// readCount: a key that is not there is an answer; any other failure must not be taken for one.
func (d *Directory) readCount(options *api.QueryOptions) (uint64, error) {
	pair, meta, err := d.Client.KV().Get(countKey, options)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", countKey, err)
	}
	count := d.Count
	if pair != nil {
		if count, err = strconv.Atoi(string(pair.Value)); err != nil || count < 1 || count > 99 {
			return 0, fmt.Errorf("%s is %q, not a number of nodes", countKey, pair.Value)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = count
	return meta.LastIndex, nil
}

func (d *Directory) forgetCount() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = 0
}
