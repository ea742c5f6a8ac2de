package coherence

import (
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"bookstore/services/platform/redis/redistest"
	"bookstore/services/platform/wait/waittest"
)

func TestSlotsAreTheClusters(t *testing.T) {
	t.Parallel()
	node := goredis.NewClient(&goredis.Options{Addr: redistest.Cluster(t), Password: redistest.Password})
	defer func() { _ = node.Close() }()
	for _, id := range []int64{0, 1, 42, 10_000, Gone} {
		want, err := node.ClusterKeySlot(t.Context(), bookKey(id)).Result()
		if got := slot(strconv.FormatInt(id, 10)); err != nil || int64(got) != want {
			t.Errorf("book %d is in slot %d, not %d: %v", id, want, got, err)
		}
	}
}

// deposed is a cluster whose master of a key was frozen, and has been replaced
// without knowing it.
func deposed(t *testing.T, key string) (nodes *redistest.Fleet, frozen int) {
	t.Helper()
	nodes = redistest.Nodes(t, 3, 1)
	frozen = nodes.MasterOf(key)
	// A connection from before, to be the first thing that it sees again.
	if err := nodes.Node(frozen).Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	nodes.Freeze(frozen)
	// As long as it takes in the shop, where a master is thought dead after 2 s.
	enough := time.After(2500 * time.Millisecond)
	waittest.Eventually(t, "the frozen master is replaced", func() bool { return nodes.MasterOf(key) != frozen })
	<-enough
	return nodes, frozen
}

// A floor that a deposed master took would be lost with all it knows, and a
// reader who called it would get an answer of before.
func TestADeposedMasterSaysNothing(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]struct {
		key    string
		script *goredis.Script
		args   []any
	}{
		"raise":   {bookKey(1), raiseScript, []any{1, 2, keyLife.Milliseconds()}},
		"publish": {registryKey, publishScript, []any{"{}", lease.Milliseconds(), listLife.Milliseconds()}},
		"join":    {registryKey, joinScript, []any{"s", lease.Milliseconds(), ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes, frozen := deposed(t, call.key)
			answer := make(chan error, 1)
			go func() {
				answer <- call.script.Eval(t.Context(), nodes.Node(frozen), []string{call.key}, call.args...).Err()
			}()
			// By then the call lies before it.
			<-time.After(100 * time.Millisecond)
			nodes.Thaw(frozen)
			err := <-answer
			if err == nil {
				t.Error("it answered as if it were the master")
			}
			t.Log(err)
			nodes.WaitWhole()
		})
	}
}

// One whose replica is dead is still the master.
func TestALonelyMasterIsBelieved(t *testing.T) {
	t.Parallel()
	nodes := redistest.Nodes(t, 3, 1)
	key := bookKey(1)
	for _, i := range nodes.ReplicasOf(key) {
		nodes.Kill(i)
	}
	node := nodes.Node(nodes.MasterOf(key))
	for range 20 {
		if err := raiseScript.Eval(t.Context(), node, []string{key}, 1, 2, keyLife.Milliseconds()).Err(); err != nil {
			t.Error(err)
		}
		<-time.After(100 * time.Millisecond)
	}
}
