package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bookstore/services/cache"
	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/platform/redis/redistest"
)

func TestMain(m *testing.M) {
	pgtest.Main(m, redistest.LateDials(), goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// lease is one that a test can end.
type lease struct{ ended atomic.Bool }

func (l *lease) Live() bool { return !l.ended.Load() }

// service is what books would be: a version of each book, and how often it was called.
type service struct {
	fills atomic.Int64

	mu      sync.Mutex
	version int64
	err     error
	missing bool
	gate    chan struct{} // an answer waits for it after it was read; nil: none waits
	entered chan struct{} // receives for each call that waits
}

func (s *service) set(change func(*service)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// hold makes the next answers wait until release, after they have been read.
func (s *service) hold() (entered <-chan struct{}, release func()) {
	gate := make(chan struct{})
	arrivals := make(chan struct{}, 64)
	s.set(func(s *service) { s.gate, s.entered = gate, arrivals })
	return arrivals, func() {
		s.set(func(s *service) { s.gate = nil })
		close(gate)
	}
}

// highest is the highest id of any book.
const highest = 100

func (s *service) answer(ctx context.Context, id int64) (cache.Filled, error) {
	s.fills.Add(1)
	s.mu.Lock()
	version, err, missing, gate, entered := s.version, s.err, s.missing, s.gate, s.entered
	s.mu.Unlock()
	if gate != nil {
		entered <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return cache.Filled{}, fault.Wrap("read", ctx.Err())
		}
	}
	switch {
	case err != nil:
		return cache.Filled{}, err
	case missing:
		return cache.Filled{
			Entry:   &coherence.Entry{BookID: id, Status: http.StatusNotFound, Body: []byte(`{"code":"book_not_found","detail":"none","requestId":"theirs"}`)},
			Highest: highest,
		}, nil
	}
	return cache.Filled{Entry: book(id, version)}, nil
}

func book(id, version int64) *coherence.Entry {
	return &coherence.Entry{
		BookID: id, Version: version, StockVersion: 1, Status: http.StatusOK,
		ETag: fmt.Sprintf(`"%d.1"`, version), Body: fmt.Appendf(nil, `{"id":%d,"version":%d}`, id, version),
	}
}

// shelf is a cache before a service.
type shelf struct {
	*cache.Books
	t       *testing.T
	lease   *lease
	service *service
}

func open(t *testing.T, shared cache.SharedTier) *shelf {
	t.Helper()
	s := &shelf{Books: cache.NewBooks(cache.Options{Shared: shared}), t: t, lease: &lease{}, service: &service{version: 1}}
	s.Follow(s.lease)
	t.Cleanup(s.Close)
	return s
}

// read reads book 1 and returns its version and where it came from.
func (s *shelf) read() string { return s.readBook(1) }

func (s *shelf) readBook(id int64) string {
	s.t.Helper()
	c, source, err := s.Get(s.t.Context(), id, s.service.answer)
	switch {
	case err != nil:
		return string(fault.KindOf(err))
	case c.Refusal != nil:
		return fmt.Sprintf("%s %s", c.Refusal.Kind, source)
	}
	return fmt.Sprintf("v%d %s", c.Version, source)
}

func (s *shelf) want(got, want string) {
	s.t.Helper()
	if got != want {
		s.t.Errorf("got %q, want %q", got, want)
	}
}

// began is a read in the background.
func (s *shelf) began() <-chan string {
	answer := make(chan string, 1)
	go func() { answer <- s.read() }()
	return answer
}

func floor(id, version int64) []coherence.Floor {
	return []coherence.Floor{{BookID: id, Version: version, StockVersion: 1}}
}

func circuitOpen() error {
	return &fault.Error{Kind: fault.CircuitOpen, RetryAfter: time.Second}
}

// tier is a shared tier without Redis.
type tier struct {
	mu     sync.Mutex
	fresh  *coherence.Entry
	stale  *coherence.Entry
	token  string
	away   bool
	stored []int64 // versions
	done   chan struct{}
}

var errAway = errors.New("away")

func (s *tier) Lookup(context.Context, int64) (*coherence.Entry, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, "", errAway
	}
	return s.fresh, s.token, nil
}

func (s *tier) Store(_ context.Context, token string, e *coherence.Entry) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token != s.token {
		return false, errors.New("another token")
	}
	s.stored = append(s.stored, e.Version)
	if s.done != nil {
		close(s.done)
		s.done = nil
	}
	return true, nil
}

func (s *tier) Stale(context.Context, int64) (*coherence.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	return s.stale, nil
}
