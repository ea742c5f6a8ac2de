//go:build drill

package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

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
