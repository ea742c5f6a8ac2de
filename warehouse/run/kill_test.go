package run_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bookstore/warehouse/run"
	"bookstore/warehouse/store"
)

const childArgs = "BOOKSTORE_WAREHOUSE_CHILD"

// child is this test as another process, that makes versions until it is killed.
func child() bool {
	if os.Getenv(childArgs) == "" {
		return false
	}
	dir, bookdb, orderdb := os.Args[1], os.Args[2], os.Args[3]
	for n := 0; ; n++ {
		c, err := snapshots(time.Now(), database{"bookdb", bookdb}, database{"orderdb", orderdb})
		if err == nil {
			fmt.Println("begins") //nolint:forbidigo // the parent reads it
			_, err = runOn(context.Background(), dir, c, run.Options{Full: n%2 == 1, Keep: time.Nanosecond, Log: slog.New(slog.DiscardHandler)})
			release(c)
		}
		if err != nil {
			fmt.Println(err) //nolint:forbidigo // as above
			return true
		}
	}
}

// A run is killed at points drawn at random, again and again, while customers buy and people read:
// what they read is always one whole version, and the next run carries on.
func TestKilledRunsLeaveWholeVersions(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.run(run.Options{})
	ctx, stop := context.WithCancel(t.Context())
	read, wrote := make(chan int), make(chan error)
	go func() { read <- s.readOnAndOn(ctx) }()
	shopper := s.connect(s.bookSQL)
	go func() {
		for {
			// A book's copy goes to another: in a whole version all of them are there.
			// What has begun is let end: it must not be committed after the test has read the database.
			_, err := shopper.Exec(context.WithoutCancel(ctx), `with a as (select book_id from stock where quantity > 0 order by random() limit 1), b as (select book_id from stock order by random() limit 1)
				update stock set quantity = quantity + case when book_id = (select book_id from a) then -1 else 1 end, version = version + 1
				where book_id in (select book_id from a union all select book_id from b) and (select book_id from a) <> (select book_id from b)`)
			if err != nil || ctx.Err() != nil {
				wrote <- err
				return
			}
		}
	}()
	for range 12 {
		s.killOne(time.Duration(rand.Int64N(int64(1500 * time.Millisecond))))
		if _, err := store.AsOf(s.dir, ""); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if n, err := <-read, <-wrote; err != nil || n == 0 {
		t.Errorf("%v, and versions were read %d times", err, n)
	}
	// The cuts of the children are of today, which is before the test's own time or after it.
	s.began = time.Now()
	s.whole(s.run(run.Options{}).Manifest)
	s.nothingLeft()
}

// killOne starts a child, and kills it some time after its first run began.
func (s *shop) killOne(after time.Duration) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0], s.dir, s.bookSQL, s.sql)
	cmd.Env = append(os.Environ(), childArgs+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for line := lines.Text(); ; line = lines.Text() {
		if line != "begins" {
			s.t.Errorf("the run says %q", line)
		}
		if !lines.Scan() {
			break
		}
	}
	_ = cmd.Wait() // it was killed
}

func (s *shop) readOnAndOn(ctx context.Context) (n int) {
	for ; ctx.Err() == nil; n++ {
		v, err := store.AsOf(s.dir, "")
		if err != nil {
			s.t.Error(err)
			return n
		}
		db, err := v.Open(context.Background())
		if err != nil {
			if _, gone := os.Stat(v.Path); gone != nil {
				continue // pruned, since nearly nothing is kept here
			}
			s.t.Error(err)
			return n
		}
		var copies, books int
		var name string
		err = db.QueryRow("select (select sum(quantity) from bookdb.stock), (select count(*) from bookdb.books), (select run from warehouse.runs)").Scan(&copies, &books, &name)
		if _, gone := os.Stat(v.Path); gone == nil && (err != nil || copies != 500500 || books != 1000 || name != v.Run) {
			s.t.Errorf("%v: version %s has %d copies of %d books and calls itself %s", err, v.Run, copies, books, name)
		}
		_ = db.Close()
	}
	return n
}

// nothingLeft requires that every file on the disk is of a version.
func (s *shop) nothingLeft() {
	s.t.Helper()
	versions, err := store.Versions(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	named := map[string]bool{}
	for _, v := range versions {
		m, err := v.Manifest()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range m.Files() {
			named[filepath.Join(s.dir, f.Path)] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "files", "*", "*"))
	if err != nil || len(files) != len(named) {
		s.t.Errorf("%v: %d files are there, %d are of versions", err, len(files), len(named))
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "staging")); err != nil || len(left) > 0 {
		s.t.Errorf("%v: staging holds %v", err, left)
	}
}
