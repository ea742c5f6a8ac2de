package coordinatorpg

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/kit/pg"
)

const (
	// batches are how many are on their way at once: one is written while
	// another's answer is read.
	batches   = 2
	mostLines = 64
	// patience is how long a line waits for the batches before it. They may
	// hang on a server that says nothing any more, while a new connection would
	// find the new leader.
	patience = 100 * time.Millisecond
)

// together sends the statements of several attempts as one transaction: those
// that have come together while the batches before were on their way to the
// disk. Alone, each would pay for a round trip and a flush of its own.
type together struct {
	pool    *pgxpool.Pool
	timeout time.Duration // of a batch; 0: it is never cancelled
	turns   chan struct{} // holds one for each batch on its way

	mu    sync.Mutex
	queue []*line
}

// line is one caller's statement.
type line struct {
	gid  string
	add  func(*pgx.Batch) // queues the statement, with what reads its answer
	done chan struct{}
	err  error // readable once done is closed
}

func newTogether(pool *pgxpool.Pool, timeout time.Duration) *together {
	return &together{pool: pool, timeout: timeout, turns: make(chan struct{}, batches)}
}

// write makes a statement about an attempt. When ctx ends it returns, and the
// statement may still be made: its batch is others' too. What add captures must
// not be read then.
func (t *together) write(ctx context.Context, gid string, add func(*pgx.Batch)) error {
	l := &line{gid: gid, add: add, done: make(chan struct{})}
	t.mu.Lock()
	t.queue = append(t.queue, l)
	t.mu.Unlock()
	free := context.WithoutCancel(ctx)
	select {
	case t.turns <- struct{}{}:
		go t.inTurn(free)
	default:
		t.await(free, l)
	}
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await returns when a line is on its way: sent by others, or in a batch that
// it begins itself, when it is its turn or no turn comes.
func (t *together) await(ctx context.Context, l *line) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case t.turns <- struct{}{}:
		go t.inTurn(ctx)
	case <-late.C:
		go t.send(ctx)
	case <-l.done:
	}
}

func (t *together) inTurn(ctx context.Context) {
	t.send(ctx)
	<-t.turns
}

// send sends what is waiting.
func (t *together) send(ctx context.Context) {
	lines := t.take()
	if len(lines) == 0 {
		return
	}
	err := t.sendAll(ctx, lines)
	for _, l := range lines {
		if pg.Code(err) != "" && len(lines) > 1 {
			// The server refused one of them, and so all: nobody shall suffer
			// for another's statement.
			l.finish(t.sendAll(ctx, []*line{l}))
			continue
		}
		l.finish(err)
	}
}

// take returns the lines in an order in which two batches never wait for each
// other's rows in a circle.
func (t *together) take() []*line {
	t.mu.Lock()
	lines := t.queue[:min(len(t.queue), mostLines)]
	t.queue = t.queue[len(lines):]
	t.mu.Unlock()
	slices.SortFunc(lines, func(a, b *line) int { return strings.Compare(a.gid, b.gid) })
	return lines
}

func (t *together) sendAll(ctx context.Context, lines []*line) error {
	if t.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		ctx = limited
	}
	batch := &pgx.Batch{}
	for _, l := range lines {
		l.add(batch)
	}
	return t.pool.SendBatch(ctx, batch).Close()
}

func (l *line) finish(err error) {
	l.err = err
	close(l.done)
}
