package coherence_test

import (
	"context"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/redis/redistest"
)

// Readers who come at the same moment share a call to each node, and nothing
// else: some of the books are there, of the others each gets a token, and the
// nodes have forgotten the script.
func TestReadersOfTheSameMomentAreAnsweredEachForItself(t *testing.T) {
	t.Parallel()
	const books = 100
	nodes := redistest.Nodes(t, 3, 0)
	c := open(t, nodes.Config())
	s := &tier{shared(c), t, c}
	s.Patience = 20 * time.Second
	for id := range int64(books) {
		if id%2 == 0 {
			s.requireStored(true, s.token(id), book(id, 1, id))
		}
	}
	err := c.Cluster().ForEachMaster(t.Context(), func(ctx context.Context, node *goredis.Client) error {
		return node.ScriptFlush(ctx).Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	var (
		callers sync.WaitGroup
		tokens  sync.Map
	)
	for id := range int64(books) {
		callers.Go(func() {
			e, token, err := s.Lookup(t.Context(), id)
			switch there := id%2 == 0; {
			case err != nil:
				t.Errorf("book %d: %v", id, err)
			case there && (e == nil || e.BookID != id || e.StockVersion != id):
				t.Errorf("book %d: %+v", id, e)
			case !there && (e != nil || token == ""):
				t.Errorf("book %d: %+v, token %q", id, e, token)
			case !there:
				if other, taken := tokens.LoadOrStore(token, id); taken {
					t.Errorf("books %d and %v got the same token", id, other)
				}
			}
		})
	}
	callers.Wait()
}

// BenchmarkLook is what a lookup with a hit costs each of 16 readers who come
// without pause.
func BenchmarkLook(b *testing.B) {
	c := open(b, redistest.Nodes(b, 3, 0).Config())
	s := shared(c)
	const books = 64
	for id := range int64(books) {
		_, token, err := s.Lookup(b.Context(), id)
		if stored, err2 := s.Store(b.Context(), token, book(id, 1, 1)); err != nil || err2 != nil || !stored {
			b.Fatal(err, err2)
		}
	}
	b.ReportAllocs()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for id := int64(0); pb.Next(); id = (id + 1) % books {
			if e, _, err := s.Lookup(b.Context(), id); err != nil || e == nil {
				b.Errorf("book %d: %+v, %v", id, e, err)
			}
		}
	})
}
