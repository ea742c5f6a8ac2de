package coherence_test

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, redistest.LateDials()) }

var discard = slog.New(slog.DiscardHandler)

// open connects to a cluster, and returns when it can be used.
func open(t testing.TB, c redis.Config) *redis.Client {
	t.Helper()
	client, err := redis.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	waittest.Eventually(t, "the cluster answers", func() bool { return client.Ping(t.Context()) == nil })
	return client
}

// alone is a cluster of one node.
func alone(t *testing.T) *redis.Client {
	t.Helper()
	return open(t, redistest.Config(t, redistest.Cluster(t)))
}

// shared is a tier whose calls may take their time: the machine is busy.
func shared(c *redis.Client) *coherence.Shared {
	s := coherence.NewShared(c, nil)
	s.Patience = 2 * time.Second
	return s
}

// book is an answer with these versions.
func book(id, version, stock int64) *coherence.Entry {
	return &coherence.Entry{
		BookID: id, Version: version, StockVersion: stock, Status: http.StatusOK,
		ETag: `"1.1"`, Body: []byte("{\"title\":\"\x00\xff\"}"), FilledAt: time.Now().Truncate(time.Microsecond),
	}
}

func floor(id, version, stock int64) coherence.Floor {
	return coherence.Floor{BookID: id, Version: version, StockVersion: stock}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, stock int64
		below          bool
	}{{2, 3, false}, {9, 9, false}, {1, 9, true}, {9, 2, true}, {math.MaxInt64, math.MaxInt64, false}} {
		if got := book(1, test.version, test.stock).Below(floor(1, 2, 3)); got != test.below {
			t.Errorf("%d.%d below 2.3: %v", test.version, test.stock, got)
		}
	}
}

// memory is a near tier for tests: one version of each book.
type memory struct {
	mu         sync.Mutex
	kept       map[int64]int64 // stock versions
	marks      map[int64]int   // moved on by what a fill must not span
	generation int
	hold       chan struct{} // Raise waits until it is closed; nil doesn't
	held       bool          // whether it waits, or has
}

func newMemory() *memory { return &memory{kept: map[int64]int64{}, marks: map[int64]int{}} }

func (m *memory) Raise(floors []coherence.Floor) {
	m.mu.Lock()
	hold := m.hold
	m.held = m.held || hold != nil
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range floors {
		m.marks[f.BookID]++
		if m.kept[f.BookID] < f.StockVersion {
			delete(m.kept, f.BookID)
		}
	}
}

func (m *memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	clear(m.kept)
}

func (m *memory) get(id int64) (version int64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	version, ok = m.kept[id]
	return version, ok
}

type mark struct{ book, generation int }

// begin marks where a fill begins, keep keeps what it brought unless it spans
// a change.
func (m *memory) begin(id int64) mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mark{m.marks[id], m.generation}
}

func (m *memory) keep(began mark, id, version int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if began == (mark{m.marks[id], m.generation}) {
		m.kept[id] = version
	}
}

// waits reports whether somebody waits for what block blocks.
func (m *memory) waits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held
}

func (m *memory) block() (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	hold := make(chan struct{})
	m.hold = hold
	return sync.OnceFunc(func() {
		m.mu.Lock()
		m.hold = nil
		m.mu.Unlock()
		close(hold)
	})
}

// gateway is a near tier and who keeps it true.
type gateway struct {
	*coherence.Follower

	near *memory
	stop func()
}

// join starts a gateway; it is stopped with the test, or before.
func join(t *testing.T, c *redis.Client, name string) *gateway {
	t.Helper()
	near := newMemory()
	g := &gateway{Follower: coherence.NewFollower(c, name, near, discard, nil), near: near}
	part := g.Part()
	if err := part.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.stop = sync.OnceFunc(func() {
		if err := part.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(g.stop)
	waittest.Eventually(t, name+" has a lease", g.Live)
	return g
}

// has keeps a version of a book near, as a fill would.
func (g *gateway) has(t *testing.T, id, version int64) {
	t.Helper()
	waittest.Eventually(t, "a version is kept under a lease", func() bool {
		began := g.near.begin(id)
		if !g.Live() {
			return false
		}
		g.near.keep(began, id, version)
		_, ok := g.near.get(id)
		return ok
	})
}

// answers tells what the near tier would answer; ok is false when it says nothing.
func (g *gateway) answers(id int64) (version int64, ok bool) {
	if !g.Live() {
		return 0, false
	}
	return g.near.get(id)
}

// requireNotBelow: the gateway answers nothing less.
func (g *gateway) requireNotBelow(t *testing.T, f coherence.Floor) {
	t.Helper()
	if version, ok := g.answers(f.BookID); ok && version < f.StockVersion {
		t.Errorf("version %d of book %d is answered after %d was announced", version, f.BookID, f.StockVersion)
	}
}

// count reads a counter with one label.
func count(t *testing.T, reg *prometheus.Registry, name, label string) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if family.GetName() == name && pair.GetValue() == label {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}
