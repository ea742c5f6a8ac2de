package care

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"

	"bookstore/services/platform/dial"
)

const (
	// lostEvery is the time between two looks at a master that was lost; calmEvery that while the
	// server's log says nothing.
	lostEvery = 250 * time.Millisecond
	calmEvery = time.Second
)

// watchMaster has this node take its master's place once the master is surely dead. Redis by
// itself waits out cluster-node-timeout and an election's delays, some three seconds, in which a
// master that was killed is back, empty, and its replica copies that. A connection refused is
// certain at once: nobody listens there. For a master that only does not answer, Redis' own way
// remains.
//
// Only a node that had its master's copy takes over: when all nodes start at once, a master is
// not dead but late.
func (n *Node) watchMaster(ctx context.Context) {
	copied := false
	for ctx.Err() == nil {
		pause := calmEvery
		switch link, err := n.link(ctx); {
		case err != nil: // the server is about to start or to end
		case link.master == "":
			copied = false
		case link.up:
			copied = true
		case copied && refused(ctx, link.master):
			copied = false
			n.logResult(ctx, "nobody listens at the master's port: take over", n.do(ctx, "cluster", "failover", "force"), "master", link.master)
		case copied:
			pause = lostEvery
		}
		select {
		case <-ctx.Done():
		case <-n.masterBell:
		case <-time.After(pause):
		}
	}
}

// link is how a node is tied to its master.
type link struct {
	master string // host:port that it calls; empty: it is a master
	up     bool
}

func (n *Node) link(ctx context.Context) (link, error) {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := n.redis.Info(within, "replication").Result()
	if err != nil {
		return link{}, err
	}
	values := map[string]string{}
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		values[key] = value
	}
	if values["role"] != "slave" {
		return link{}, nil
	}
	return link{
		master: net.JoinHostPort(values["master_host"], values["master_port"]),
		up:     values["master_link_status"] == "up",
	}, nil
}

// refused tells whether nobody listens at an address.
func refused(ctx context.Context, addr string) bool {
	conn, err := dial.Dialer(callTimeout/2).DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
