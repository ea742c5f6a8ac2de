package coherence_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"bookstore/services/cache/coherence"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/redis"
	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

// tier is a shared tier with calls that must succeed.
type tier struct {
	*coherence.Shared

	t      *testing.T
	client *redis.Client
}

func openTier(t *testing.T) *tier {
	t.Helper()
	t.Parallel()
	c := alone(t)
	return &tier{shared(c), t, c}
}

// lookup returns the copy, or the token to fill under.
func (s *tier) lookup(id int64) (*coherence.Entry, string) {
	s.t.Helper()
	e, token, err := s.Lookup(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return e, token
}

// token is lookup where a miss is expected.
func (s *tier) token(id int64) string {
	s.t.Helper()
	e, token := s.lookup(id)
	if e != nil || token == "" {
		s.t.Fatalf("%+v, token %q, want a miss and a token", e, token)
	}
	return token
}

func (s *tier) requireStored(want bool, token string, e *coherence.Entry) {
	s.t.Helper()
	if stored, err := s.Store(s.t.Context(), token, e); err != nil || stored != want {
		s.t.Errorf("%d.%d is stored: %v, %v, want %v", e.Version, e.StockVersion, stored, err, want)
	}
}

func (s *tier) raise(floors ...coherence.Floor) {
	s.t.Helper()
	if err := s.Raise(s.t.Context(), floors); err != nil {
		s.t.Fatal(err)
	}
}

func (s *tier) requireCopy(want *coherence.Entry) {
	s.t.Helper()
	got, _ := s.lookup(want.BookID)
	if got == nil {
		s.t.Fatalf("no copy of book %d", want.BookID)
	}
	if got.Version != want.Version || got.StockVersion != want.StockVersion || got.Status != want.Status ||
		got.ETag != want.ETag || !bytes.Equal(got.Body, want.Body) || !got.FilledAt.Equal(want.FilledAt) {
		s.t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAFillIsStoredUnderItsToken(t *testing.T) {
	s := openTier(t)
	token := s.token(1)
	if e, second := s.lookup(1); e != nil || second != "" {
		t.Errorf("%+v, %q for a lookup while another fills", e, second)
	}
	want := book(1, 3, 4)
	s.requireStored(false, "", want)
	s.requireStored(false, "another", want)
	s.requireStored(true, token, want)
	s.requireCopy(want)
	s.requireStored(false, token, book(1, 3, 5)) // a token is for one fill
	s.requireCopy(want)
}

func TestAFillThatBeganBeforeAChangeIsNotStored(t *testing.T) {
	s := openTier(t)
	before := s.token(1)
	s.raise(floor(1, 1, 2))
	s.requireStored(false, before, book(1, 1, 1))
	after, want := s.token(1), book(1, 1, 2)
	s.requireStored(false, before, want)
	s.requireStored(true, after, want)
	s.requireCopy(want)
}

// Such as one that was read from a replica of the database.
func TestAFillBelowTheFloorIsNotStored(t *testing.T) {
	s := openTier(t)
	s.raise(floor(1, 1, 2))
	s.requireStored(false, s.token(1), book(1, 1, 1))
	s.requireStored(true, s.token(1), book(1, 1, 2))
}

func TestACopyBelowItsFloorIsNotAnswered(t *testing.T) {
	s := openTier(t)
	for id, to := range map[int64]coherence.Floor{1: floor(1, 3, 0), 2: floor(2, 0, 3), 3: floor(3, coherence.Gone, coherence.Gone)} {
		want := book(id, 2, 2)
		s.requireStored(true, s.token(id), want)
		s.raise(floor(id, 2, 2), floor(id, 1, 1))
		s.requireCopy(want)
		s.raise(to)
		s.token(id)
		if old, err := s.Stale(t.Context(), id); err != nil || old == nil || old.Version != 2 {
			t.Errorf("stale: %+v, %v", old, err)
		}
	}
}

func TestFloorsOnlyRise(t *testing.T) {
	s := openTier(t)
	s.raise(floor(1, 5, 1), floor(1, 1, 5), floor(1, 0, 2))
	s.requireStored(false, s.token(1), book(1, 5, 4))
	s.requireStored(false, s.token(1), book(1, 4, 5))
	s.requireStored(true, s.token(1), book(1, 5, 5))
	s.raise(floor(1, coherence.Gone, coherence.Gone))
	s.requireStored(false, s.token(1), book(1, 6, 6))
	gone := book(1, coherence.Gone, coherence.Gone)
	gone.Status, gone.ETag = http.StatusGone, ""
	s.requireStored(true, s.token(1), gone)
	s.requireCopy(gone)
}

// A floor that is evicted takes with it what could bring back an old copy.
func TestAFillDoesNotOutliveItsKey(t *testing.T) {
	s := openTier(t)
	before := s.token(1)
	s.raise(floor(1, 1, 2))
	if err := s.client.Cluster().Del(t.Context(), "book:{1}").Err(); err != nil {
		t.Fatal(err)
	}
	s.requireStored(false, before, book(1, 1, 1))
	after := s.token(1)
	s.requireStored(false, before, book(1, 1, 1))
	s.requireStored(true, after, book(1, 1, 2))
}

// What another life of the shard has left is nobody's: a floor may be missing.
func TestWhatIsOfAnotherIncarnationIsAMiss(t *testing.T) {
	s := openTier(t)
	was := func(field string) {
		t.Helper()
		if err := s.client.Cluster().HSet(t.Context(), "book:{1}", field, "another").Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.requireStored(true, s.token(1), book(1, 1, 1))
	was("inc")
	before := s.token(1)
	was("token_inc")
	s.requireStored(false, before, book(1, 1, 1))
	s.requireStored(true, s.token(1), book(1, 1, 1))
}

func TestClearForgetsBooksAndFillsAndNothingElse(t *testing.T) {
	s := openTier(t)
	for id := range int64(3000) {
		s.raise(floor(id, 1, 1))
	}
	s.requireStored(true, s.token(1), book(1, 1, 1))
	pending := s.token(2)
	cluster := s.client.Cluster()
	if err := cluster.Set(t.Context(), "limit:{a}", "1", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := cluster.DBSize(t.Context()).Result(); err != nil || n != 1 {
		t.Errorf("%d keys are left, %v", n, err)
	}
	s.requireStored(false, pending, book(2, 1, 1))
	if old, err := s.Stale(t.Context(), 1); old != nil || err != nil {
		t.Errorf("a copy is left: %+v, %v", old, err)
	}
}

func TestCopiesDoNotLastForEver(t *testing.T) {
	s := openTier(t)
	aged := func(id int64, status int, age time.Duration) *coherence.Entry {
		e := book(id, 1, 1)
		e.Status, e.FilledAt = status, e.FilledAt.Add(-age)
		return e
	}
	s.requireStored(false, s.token(1), aged(1, http.StatusOK, 10*time.Minute))
	s.requireStored(false, s.token(2), aged(2, http.StatusNotFound, 10*time.Second))
	s.requireStored(true, s.token(3), aged(3, http.StatusOK, 10*time.Minute-500*time.Millisecond))
	s.requireStored(true, s.token(4), aged(4, http.StatusNotFound, 10*time.Second-500*time.Millisecond))
	for _, id := range []int64{3, 4} {
		waittest.Eventually(t, "the copy is too old", func() bool { e, _ := s.lookup(id); return e == nil })
	}
	waittest.Eventually(t, "the copy is too old to be stale", func() bool {
		old, err := s.Stale(t.Context(), 3)
		return old == nil && err == nil
	})
}

// A cluster that is away is given up soon and not called by each reader.
func TestAClusterThatIsAwayCostsLittle(t *testing.T) {
	t.Parallel()
	client, err := redis.Open(redistest.Config(t, "127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	for name, s := range map[string]*coherence.Shared{"away": coherence.NewShared(client, nil), "none": coherence.NewShared(nil, nil)} {
		begin := time.Now()
		for range 100 {
			if _, _, err := s.Lookup(t.Context(), 1); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
			if err := s.Raise(t.Context(), []coherence.Floor{floor(1, 1, 1)}); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: 100 lookups and floors took %s", name, took)
		}
	}
}

// The machine that is gone had the master, the gateway with the copy and the database's leader: until another is promoted, its
// replica has the only copy.
func TestAnOldCopyIsReadFromTheReplicaWhileTheMasterIsFrozen(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	c := open(t, nodes.Config())
	s, key := &tier{shared(c), t, c}, "book:{1}"
	s.requireStored(true, s.token(1), book(1, 1, 1))
	waittest.Eventually(t, "there is a replica", func() bool { return len(nodes.ReplicasOf(key)) == 1 })
	waittest.EventuallyNil(t, "the client knows the replica, and that has the copy", func(ctx context.Context) error {
		replica, err := c.Cluster().SlaveForKey(ctx, key)
		if err != nil {
			return err
		}
		info, err := replica.Info(ctx, "replication").Result()
		if err == nil && !strings.Contains(info, "role:slave") {
			err = errors.New("it knows the master alone")
		}
		return errors.Join(err, nodes.Node(nodes.MasterOf(key)).Wait(ctx, 1, 0).Err())
	})
	frozen := nodes.MasterOf(key)
	nodes.Freeze(frozen)
	s.Patience = 500 * time.Millisecond // the frozen master is waited for as long
	if e, err := s.Stale(t.Context(), 1); err != nil || e == nil || e.Version != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	nodes.Thaw(frozen)
}

// A replica that missed a floor takes over: it has the old copy, and the token of who fills it.
func TestAPromotedReplicaAnswersNothingOld(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	c := open(t, nodes.Config())
	s, key := &tier{shared(c), t, c}, "book:{1}"
	s.requireStored(true, s.token(1), book(1, 1, 1))
	s.raise(floor(1, 1, 2))
	before := s.token(1)
	waittest.Eventually(t, "there is a replica", func() bool { return len(nodes.ReplicasOf(key)) == 1 })
	master, replica := nodes.MasterOf(key), nodes.ReplicasOf(key)[0]
	waittest.Eventually(t, "the replica has the copy", func() bool {
		return nodes.Node(master).Wait(t.Context(), 1, 0).Val() == 1
	})

	// From here on the replica gets nothing from its master.
	if err := nodes.Node(replica).ConfigSet(t.Context(), "masterauth", "wrong").Err(); err != nil {
		t.Fatal(err)
	}
	if err := nodes.Node(master).Do(t.Context(), "client", "kill", "type", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the replica is cut off", func() bool {
		info := nodes.Node(replica).Info(t.Context(), "replication").Val()
		return strings.Contains(info, "master_link_status:down")
	})
	s.raise(floor(1, 1, 3))
	if err := nodes.Node(replica).Do(t.Context(), "cluster", "failover", "takeover").Err(); err != nil {
		t.Fatal(err)
	}
	waittest.Eventually(t, "the replica has taken over", func() bool { return nodes.MasterOf(key) == replica })
	waittest.Eventually(t, "it answers", func() bool {
		stored, err := s.Store(t.Context(), before, book(1, 1, 2))
		if stored {
			t.Error("a fill of before the floor was stored")
		}
		return err == nil
	})
	s.requireStored(true, s.token(1), book(1, 1, 3))
}
