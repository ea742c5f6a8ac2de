//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// kill ends containers at one instant, with a burst of orders under way, where the scenario has one.
func (s *scene) kill(t *testing.T, containers ...string) {
	t.Helper()
	killed, err := cluster.Kill(s.burst, containers...)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(s.killed, killed)
	t.Logf("killed %v", containers)
}

// killMembers ends members of PostgreSQL.
func (s *scene) killMembers(t *testing.T, victims ...cluster.Member) {
	t.Helper()
	var containers []string
	for _, m := range victims {
		containers = append(containers, m.Container())
	}
	s.kill(t, containers...)
}

// instance draws a container of a job's main task.
func (s *scene) instance(t *testing.T, job string) string {
	t.Helper()
	running := cluster.Running(t, job)
	return cluster.Container(job, running[s.random.IntN(len(running))].ID)
}

// killOne kills any instance of a service.
func killOne(job string) func(t *testing.T, s *scene) {
	return func(t *testing.T, s *scene) { s.kill(t, s.instance(t, job)) }
}

// killCoordinator: what a coordinator leaves behind is finished by the other within 3 s. The
// times are the database's.
func killCoordinator(t *testing.T, s *scene) {
	conn, burst := cluster.Leader(t, "postgres"), s.burst
	s.burst = func() { momentOfDoubt(t, burst) }
	s.kill(t, s.instance(t, "coordinator"))
	var died time.Time
	var prepared int
	err := conn.QueryRow(t.Context(), "select clock_timestamp(), (select count(*) from pg_prepared_xacts)").Scan(&died, &prepared)
	if err != nil {
		t.Fatal(err)
	}
	// Calls that it had sent may still arrive, hence what is prepared shortly after counts too.
	const orphans = 500 * time.Millisecond
	var since float64
	shoptest.Eventually(t, 3*time.Second, "nothing that was prepared when the coordinator died is left", func(ctx context.Context) error {
		var left int
		err := conn.QueryRow(ctx, `select count(*), extract(epoch from clock_timestamp() - $1)::float8
			from pg_prepared_xacts where prepared < $2`, died, died.Add(orphans)).Scan(&left, &since)
		if err == nil && (left > 0 || since < orphans.Seconds()) {
			err = fmt.Errorf("%d are left after %.1f s", left, since)
		}
		return err
	})
	t.Logf("%d transactions were prepared when the coordinator died; all were finished after %.1f s at the latest", prepared, since)
}

// promotedWithin is how long after a master's death a replica may take to serve its slots.
const promotedWithin = 5 * time.Second

// killRedisMaster returns when the dead node's slots are served by a replica. It comes back as one.
func killRedisMaster(t *testing.T, s *scene) {
	id := cluster.RedisMaster(t, s.random)
	died := cluster.RedisAddress(t, id)
	began := time.Now()
	s.kill(t, cluster.Container("redis", id))
	shoptest.Eventually(t, promotedWithin, "the replica is promoted", func(ctx context.Context) error { return cluster.RedisReplaced(ctx, t, died) })
	t.Logf("a replica serves the dead master's slots after %.1f s", time.Since(began).Seconds())
	shoptest.Eventually(t, time.Minute, "the dead node is back as a replica", func(ctx context.Context) error {
		if err := s.restored(ctx, t); err != nil {
			return err
		}
		return cluster.RedisReplaced(ctx, t, died)
	})
}

// killPostgres kills the first of PostgreSQL's processes on the leader, and nothing beside it.
func killPostgres(t *testing.T, s *scene) {
	pid, err := cluster.Postmaster(s.leader.Container())
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func killLeader(t *testing.T, s *scene) { s.killMembers(t, s.leader) }

func killReplica(t *testing.T, s *scene) { s.killMembers(t, s.replicas[0]) }

func killTwoReplicas(t *testing.T, s *scene) { s.killMembers(t, s.replicas[:2]...) }

func killLeaderAndReplica(t *testing.T, s *scene) { s.killMembers(t, s.leader, s.replicas[0]) }

func killAll(t *testing.T, s *scene) { s.killMembers(t, append(s.replicas, s.leader)...) }

// removeLeaderData takes the leader's files from under it while it runs.
func removeLeaderData(t *testing.T, s *scene) {
	folder, err := cluster.Volume(s.leader.Container())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(folder, "pgdata")
	err = os.RemoveAll(data)
	for range 10 { // what is written meanwhile may keep a directory from going
		if err == nil {
			return
		}
		err = os.RemoveAll(data)
	}
	t.Errorf("remove the data: %v", err)
}

// frozenFor is longer than a lease in Consul can last: somebody else leads when it ends.
const frozenFor = 30 * time.Second

// freezeLeader leaves its fence alive, which kills what is frozen; nothing is left to thaw.
func freezeLeader(t *testing.T, s *scene) {
	thaw := freeze(t, s.leader.Container())
	shoptest.Rest(t.Context(), frozenFor)
	thaw()
	s.load.deposed.useAgain(t, s)
}

// freezeLeaderHost freezes everything that belongs to the leader. The leader that wakes up
// has been replaced: it must not serve its old connections for long, nor ever acknowledge a write.
func freezeLeaderHost(t *testing.T, s *scene) {
	thaw := freeze(t, siblings(t, s.leader)...)
	shoptest.Rest(t.Context(), frozenFor)
	list, err := cluster.Members(t.Context(), t)
	if err != nil {
		t.Error(err)
	}
	if slices.ContainsFunc(list, func(m cluster.Member) bool { return m.Leads() && m.Name == s.leader.Name }) {
		t.Errorf("the frozen %s still leads after %s", s.leader.Name, frozenFor)
	}
	thaw()
	s.load.deposed.useAgain(t, s)
}

func freezeReplica(t *testing.T, s *scene) {
	thaw := freeze(t, s.replicas[0].Container())
	shoptest.Rest(t.Context(), frozenFor)
	thaw()
}

// freeze stops every process of the containers. Thaw is done at the latest when the test ends.
func freeze(t *testing.T, containers ...string) (thaw func()) {
	t.Helper()
	frozen, err := cluster.Freeze(containers...)
	thaw = sync.OnceFunc(frozen.Thaw)
	t.Cleanup(thaw)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("froze %d processes of %s", len(frozen), strings.Join(containers, ", "))
	return thaw
}

// siblings are all containers of a member's allocation but its network's.
func siblings(t *testing.T, m cluster.Member) []string {
	t.Helper()
	text, err := cluster.Command("docker", "ps", "--filter", "name=-"+m.Alloc, "--format", "{{.Names}}")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(text)
}

// switchOver has Patroni hand the lead to a standby of its choice.
func switchOver(t *testing.T, s *scene) {
	address := strings.TrimSuffix(s.leader.APIURL, "/patroni") + "/switchover"
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(fmt.Sprintf(`{"leader":%q}`, s.leader.Name)))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("patroni", cluster.Password(t, "rest_password"))
	res, err := cluster.Patroni(t).Do(req)
	if err != nil {
		t.Fatalf("switch over: %v", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	t.Logf("%s: %s %v", res.Status, text, err)
	if res.StatusCode != http.StatusOK {
		t.Errorf("the switchover failed: %s", res.Status)
	}
}

// stopLeader has Nomad stop the leader's allocation and place it anew.
func stopLeader(t *testing.T, s *scene) { stop(t, s.leader.Alloc) }

// stop has Nomad stop allocations at once and place them anew. It returns when they have ended.
func stop(t *testing.T, ids ...string) {
	t.Helper()
	allocations := cluster.Nomad(t).Allocations()
	for _, id := range ids {
		if _, err := allocations.Stop(&nomad.Allocation{ID: id}, nil); err != nil {
			t.Fatalf("stop %s: %v", id, err)
		}
	}
	shoptest.Eventually(t, time.Minute, "the allocations have ended", func(ctx context.Context) error {
		for _, id := range ids {
			a, _, err := allocations.Info(id, (&nomad.QueryOptions{}).WithContext(ctx))
			if err != nil {
				return err
			}
			if !a.ClientTerminalStatus() {
				return fmt.Errorf("%s is %s", id, a.ClientStatus)
			}
		}
		return nil
	})
}

// fullFor is how long a replica has no room.
const fullFor = 15 * time.Second

// fillReplicaDisk gives a replica a small disk for its WAL, has the leader write more than
// fits, and later makes the disk larger. The disk is of memory and is mounted in the
// replica's own view of its files, so that the machine's is in no danger; what PostgreSQL
// hears is the same, that no space is left on the device. When it has recovered by itself,
// its data is thrown away with the disk: it is cloned anew.
func fillReplicaDisk(t *testing.T, s *scene) {
	replica := s.replicas[0]
	pid, errPID := cluster.FirstProcess(replica.Container())
	folder, errFolder := cluster.Volume(replica.Container())
	if err := errors.Join(errPID, errFolder); err != nil {
		t.Fatal(err)
	}
	inside := func(args ...string) {
		if _, err := cluster.Command("nsenter", append([]string{"--target", strconv.Itoa(pid), "--mount", "--"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(folder, "pgdata")
	renew := sync.OnceFunc(func() {
		if err := os.RemoveAll(data); err != nil {
			t.Logf("remove the data: %v", err) // PostgreSQL adds to them meanwhile
		}
		s.killMembers(t, replica)
	})
	t.Cleanup(renew)
	inside("mount", "-t", "tmpfs", "-o", "size=40m,mode=700,uid=10001,gid=10001", "tmpfs", "/data/pgdata/pg_wal")
	inside("install", "-d", "-o", "10001", "-g", "10001", "-m", "700", "/data/pgdata/pg_wal/archive_status")
	for range 6 { // of 16 MB each
		s.load.writers.access.exec(t, database, "select pg_switch_wal()")
		shoptest.Rest(t.Context(), 500*time.Millisecond)
	}
	if err := shoptest.Poll(t.Context(), 10*time.Second, func(ctx context.Context) error { return s.standbys(ctx, 3) }); err != nil {
		t.Errorf("the replica does not mind that its disk is full: %v", err)
	}
	shoptest.Rest(t.Context(), fullFor)
	inside("mount", "-o", "remount,size=512m", "/data/pgdata/pg_wal")
	if err := shoptest.Poll(t.Context(), time.Minute, func(ctx context.Context) error { return s.standbys(ctx, 4) }); err != nil {
		t.Errorf("the replica has room again and does not stream: %v", err)
	}
	renew()
}

// standbys is nil when so many stream from the leader.
func (s *scene) standbys(ctx context.Context, want int) error {
	n, err := s.number(ctx, "postgres", "select count(*) from pg_stat_replication where state = 'streaming' and application_name like 'patroni-%'")
	if err == nil && n != want {
		err = fmt.Errorf("%d stream, not %d", n, want)
	}
	return err
}
