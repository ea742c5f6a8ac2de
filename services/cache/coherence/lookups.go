package coherence

import (
	"context"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/batch"
)

const (
	// lookupTime bounds a batch of lookups. It is longer than any reader's patience: nobody waits for a late answer, but
	// cancelling the call would cost its connection.
	lookupTime = 200 * time.Millisecond
	// retryTime bounds the second try, after the batch failed.
	retryTime = 20 * time.Millisecond
	// mostNodes is how many addresses are remembered. There are fewer masters; nodes that moved leave old addresses behind.
	mostNodes = 32
)

// lookup is one reader's call of the script, and the node that serves the book.
type lookup struct {
	node       *goredis.Client
	key, token string
}

// lookups batches concurrent lookups at a node: they share a round trip, which costs more than the script. Each has its
// own result.
type lookups struct {
	mu    sync.Mutex
	nodes map[string]*batch.Group[lookup, *goredis.Cmd] // by address
}

// call runs the script for one reader.
func (l *lookups) call(ctx context.Context, c *goredis.ClusterClient, key, token string) *goredis.Cmd {
	answer, err := l.batched(ctx, c, key, token)
	if err == nil {
		return answer
	}
	// When the slot has moved, the cluster client finds it. Otherwise a connection is lost or no node serves the slot,
	// which may take longer than a reader waits.
	if _, moved := goredis.IsMovedError(err); !moved {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, retryTime)
		defer cancel()
	}
	return lookupScript.Run(ctx, c, []string{key}, token, tokenLife.Milliseconds())
}

// batched runs the script in a batch.
func (l *lookups) batched(ctx context.Context, c *goredis.ClusterClient, key, token string) (*goredis.Cmd, error) {
	node, err := c.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	answer, err := l.of(node).Do(ctx, lookup{node, key, token})
	if err != nil {
		return nil, err
	}
	return answer, answer.Err()
}

// of is the batch group of a node.
func (l *lookups) of(node *goredis.Client) *batch.Group[lookup, *goredis.Cmd] {
	address := node.Options().Addr
	l.mu.Lock()
	defer l.mu.Unlock()
	group := l.nodes[address]
	if group == nil {
		if l.nodes == nil || len(l.nodes) >= mostNodes {
			l.nodes = map[string]*batch.Group[lookup, *goredis.Cmd]{}
		}
		group = batch.New(lookUpAll, func(error) bool { return false })
		l.nodes[address] = group
	}
	return group
}

// lookUpAll runs a batch in one round trip, or two when the node does not have the script yet. All lookups of a batch
// have the same address, so any one's client will do.
func lookUpAll(ctx context.Context, asked []lookup) ([]*goredis.Cmd, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answers := inOne(ctx, asked, lookupScript.EvalSha)
	if goredis.HasErrorPrefix(answers[0].Err(), "NOSCRIPT") {
		answers = inOne(ctx, asked, lookupScript.Eval)
	}
	return answers, nil
}

// inOne runs the script for the whole batch in one pipeline.
func inOne(
	ctx context.Context, asked []lookup,
	run func(context.Context, goredis.Scripter, []string, ...any) *goredis.Cmd,
) []*goredis.Cmd {
	pipe := asked[len(asked)-1].node.Pipeline()
	answers := make([]*goredis.Cmd, len(asked))
	for i, q := range asked {
		answers[i] = run(ctx, pipe, []string{q.key}, q.token, tokenLife.Milliseconds())
	}
	_, _ = pipe.Exec(ctx) // each has its own error
	return answers
}
