package coherence

import (
	"context"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/batch"
)

const (
	// lookTime bounds a call for many looks. It is longer than any reader's
	// patience: an answer that comes late is nobody's, but the connection it
	// comes on is worth keeping.
	lookTime = 200 * time.Millisecond
	// lookAgain bounds what is tried after that call has failed.
	lookAgain = 20 * time.Millisecond
	// mostNodes is how many addresses are remembered. There are fewer masters;
	// nodes that came back elsewhere leave theirs behind.
	mostNodes = 32
)

// look is one reader's question to the node that serves the book.
type look struct {
	node       *goredis.Client
	key, token string
}

// looks brings together what readers ask of a node at the same moment: they
// share a round trip, which costs more than the answer. Each is answered by
// itself.
type looks struct {
	mu    sync.Mutex
	nodes map[string]*batch.Group[look, *goredis.Cmd] // by address
}

// ask runs the script for one reader.
func (l *looks) ask(ctx context.Context, c *goredis.ClusterClient, key, token string) *goredis.Cmd {
	answer, err := l.together(ctx, c, key, token)
	if err == nil {
		return answer
	}
	// The cluster's client finds a book that has moved. Else a connection is lost
	// or nobody serves the book, which may take longer than a reader has.
	if _, moved := goredis.IsMovedError(err); !moved {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, lookAgain)
		defer cancel()
	}
	return lookScript.Run(ctx, c, []string{key}, token, tokenLife.Milliseconds())
}

// together asks with others.
func (l *looks) together(ctx context.Context, c *goredis.ClusterClient, key, token string) (*goredis.Cmd, error) {
	node, err := c.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	answer, err := l.of(node).Do(ctx, look{node, key, token})
	if err != nil {
		return nil, err
	}
	return answer, answer.Err()
}

// of is the group of those who ask this node.
func (l *looks) of(node *goredis.Client) *batch.Group[look, *goredis.Cmd] {
	address := node.Options().Addr
	l.mu.Lock()
	defer l.mu.Unlock()
	group := l.nodes[address]
	if group == nil {
		if l.nodes == nil || len(l.nodes) >= mostNodes {
			l.nodes = map[string]*batch.Group[look, *goredis.Cmd]{}
		}
		group = batch.New(askAll, func(error) bool { return false })
		l.nodes[address] = group
	}
	return group
}

// askAll asks for all in one round trip, or two where the node does not know
// the script. Whichever of the clients of one address is asked, it is the same
// node.
func askAll(ctx context.Context, asked []look) ([]*goredis.Cmd, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	answers := inOne(ctx, asked, lookScript.EvalSha)
	if goredis.HasErrorPrefix(answers[0].Err(), "NOSCRIPT") {
		answers = inOne(ctx, asked, lookScript.Eval)
	}
	return answers, nil
}

// inOne runs the script for all in one round trip.
func inOne(
	ctx context.Context, asked []look,
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
