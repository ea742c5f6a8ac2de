package care

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// do sends a command to the node's own server and is nil when it answers OK.
func (n *Node) do(ctx context.Context, command ...any) error {
	within, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return n.redis.Do(within, command...).Err()
}

// logResult logs what was done, or that it failed.
func (n *Node) logResult(ctx context.Context, what string, err error, attrs ...any) {
	if err != nil {
		n.Log.WarnContext(ctx, what, append(attrs, "error", err.Error())...)
		return
	}
	n.Log.InfoContext(ctx, what, attrs...)
}

// meet introduces the peers that are not in the picture. This also brings a cluster back whose
// nodes all returned on new ports: an id that is known at another address moves.
func (n *Node) meet(ctx context.Context, p picture) {
	for _, peer := range p.strangers() {
		n.logResult(ctx, "meet", n.do(ctx, "cluster", "meet", peer.host, peer.port, peer.bus), "peer", peer.addr)
	}
}

// forget drops the nodes that failed for good.
func (n *Node) forget(ctx context.Context, p picture) {
	for _, m := range p.gone() {
		n.logResult(ctx, "forget", n.do(ctx, "cluster", "forget", m.id), "node", m.id, "address", m.addr)
	}
}

// relink: a replica whose master came back on another port goes on calling the old one, though
// its own table of nodes has the new one. It gets its master once more.
func (n *Node) relink(ctx context.Context, p picture) {
	if p.self.isMaster() {
		return
	}
	now, err := n.link(ctx)
	if want := p.byID(p.self.master).addr; err == nil && now.master != "" && want != "" && now.master != want {
		n.logResult(ctx, "follow the master to its new address", n.do(ctx, "cluster", "replicate", p.self.master), "old", now.master, "new", want)
	}
}

// closeSlots ends the move of a slot that has stood open for a while: whoever moved it is gone.
func (n *Node) closeSlots(ctx context.Context, p picture) {
	open := strings.Join(p.self.open, " ")
	if open != n.open {
		n.open, n.openSince = open, time.Now()
	}
	if open == "" || time.Since(n.openSince) < openFor {
		return
	}
	n.openSince = time.Now()
	n.manage(ctx, "fix")
}

// claim takes slots that nobody owns.
func (n *Node) claim(ctx context.Context, p picture, calm time.Duration) {
	command := []any{"cluster", "addslotsrange"}
	for _, s := range p.claim(n.Index, calm) {
		command = append(command, s.first, s.last)
	}
	if len(command) > 2 {
		n.logResult(ctx, "claim slots", n.do(ctx, command...), "slots", fmt.Sprint(command[2:]...))
	}
}

// act does the step that is due.
func (n *Node) act(ctx context.Context, p picture, next step) {
	switch next {
	case give:
		n.manage(ctx, "rebalance", "--cluster-threshold", "1", "--cluster-weight", p.self.id+"=0")
	case even:
		n.manage(ctx, "rebalance", "--cluster-threshold", "1")
	case take:
		share := slots / (len(p.census().holders) + 1)
		n.manage(ctx, "reshard", "--cluster-from", "all", "--cluster-to", p.self.id, "--cluster-slots", strconv.Itoa(share))
	case yield:
		n.yield(ctx, p)
	case follow:
		if id, ok := p.leader(n.Index); ok {
			n.logResult(ctx, "follow", n.do(ctx, "cluster", "replicate", id), "master", id)
		}
	case part:
		n.logResult(ctx, "follow a master on another host", n.do(ctx, "cluster", "replicate", p.partner()), "master", p.partner())
	case nothing:
	}
}

// yield has a replica take this node's place.
func (n *Node) yield(ctx context.Context, p picture) {
	heir, ok := p.heir(p.self)
	if !ok {
		return
	}
	host, port, err := net.SplitHostPort(heir.addr)
	if err == nil {
		_, err = n.redisCLI(ctx, "-h", host, "-p", port, "cluster", "failover")
	}
	n.logResult(ctx, "hand over to a replica", err, "replica", heir.addr)
}

// manage has redis-cli move slots, with their keys and without an error to any client. What it
// says is a line for each slot, of which the last ones tell why it failed.
func (n *Node) manage(ctx context.Context, what string, args ...string) {
	n.Log.InfoContext(ctx, what+" begins")
	said, err := n.redisCLI(ctx, slices.Concat(
		[]string{"--cluster", what, net.JoinHostPort(n.Address, n.Port)}, args,
		[]string{"--cluster-yes", "--cluster-pipeline", "64"})...)
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said), "\n")
		err = fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-5):], "; "))
	}
	n.logResult(ctx, what+" is over", err)
}

// redisCLI is redis-cli, which reaches other nodes, through TLS.
func (n *Node) redisCLI(ctx context.Context, args ...string) (said string, err error) {
	password, err := n.password()
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, "redis-cli", slices.Concat(
		[]string{"--tls", "--cacert", n.caFile(), "--cert", n.leafFile(), "--key", n.leafFile(), "--user", user, "--no-auth-warning"}, args)...)
	command.Env = append(os.Environ(), "REDISCLI_AUTH="+password)
	out, err := command.CombinedOutput()
	return string(out), err
}

// sortBySlot sorts masters by the first slot that they own.
func sortBySlot(masters []member) {
	slices.SortFunc(masters, func(a, b member) int { return cmp.Compare(a.owned[0].first, b.owned[0].first) })
}
