//go:build drill

package drills

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

// kill ends containers at one instant, with the crowd under way.
func (s *scene) kill(t *testing.T, containers ...string) {
	t.Helper()
	killed, err := cluster.Kill(s.crowd, containers...)
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
	conn, crowd := cluster.Leader(t, "postgres"), s.crowd
	s.crowd = func() { momentOfDoubt(t, crowd) }
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
		if err := s.risen(ctx, t); err != nil {
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
