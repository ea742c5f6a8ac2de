//go:build e2e

package members

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"bookstore/services/platform/wait/waittest"
)

// Members that all stop at once, without anybody who tells them of each other, are all back after the next start, with what
// was acknowledged until then.
func TestStopOfAllAtOnce(t *testing.T) {
	m := start(t, 4)
	leader, _, _ := m.await(t, 0, 4)
	m.sql(t, leader, "create table kept (n int)")
	for n := range 3 {
		m.sql(t, leader, fmt.Sprintf("insert into kept values (%d)", n))
		var stopped sync.WaitGroup
		for member := range 4 {
			stopped.Go(func() { m.stop(t, member) })
		}
		stopped.Wait()
		for member := range 4 {
			m.start(t, member)
		}
		leader, _, _ = m.await(t, 0, 4)
		if got := m.sql(t, leader, "select count(*) from kept"); got != fmt.Sprint(n+1) {
			t.Fatalf("%s rows after %d stops", got, n+1)
		}
	}
}

// A member is promoted when all others have stopped, and ends before its history is in the archive and before Consul knows.
// The others begin a timeline of the same number. It must come back as their standby, with what they have and nothing of its own.
func TestTwoTimelinesOfOneNumber(t *testing.T) {
	m := start(t, 4)
	leader, standbys, timeline := m.await(t, 0, 4)
	m.sql(t, leader, "create table kept (what text)")
	m.sql(t, leader, "insert into kept values ('before')")
	forked, others := standbys[0], standbys[1:]

	// Its Patroni knows nothing of the promotion and tells nobody, as one does that ends at once.
	m.in(t, forked, `for p in /proc/[0-9]*; do if [[ $(readlink $p/exe) == */python* ]]; then kill -STOP ${p#/proc/}; fi; done`)
	m.stop(t, others...)
	m.stop(t, leader)
	m.in(t, forked, "pg_ctl promote --silent --pgdata /data/pgdata")
	m.sql(t, forked, "insert into kept select 'never acknowledged' from generate_series(1, 1000)")
	m.in(t, forked, "pg_ctl stop --silent --mode fast --pgdata /data/pgdata")
	m.run(t, "docker", "kill", m.of(forked))

	for _, n := range append(others, leader) {
		m.start(t, n)
	}
	next, _, newer := m.await(t, leader, 3)
	if newer != timeline+1 {
		t.Fatalf("timeline %d follows %d: this is no fork of one number", newer, timeline)
	}
	m.sql(t, next, "insert into kept values ('after')")

	m.start(t, forked)
	next, standbys, _ = m.await(t, leader, 4)
	m.sql(t, next, "insert into kept values ('to all')")
	for _, n := range standbys {
		waittest.EventuallyNil(t, fmt.Sprintf("patroni-%d has what the leader has", n), func(context.Context) error {
			if got := m.sql(t, n, "select string_agg(distinct what, ',' order by what) from kept"); got != "after,before,to all" {
				return fmt.Errorf("it has %s", got)
			}
			return nil
		})
	}
	log, err := m.try("bash", "-c", "docker logs "+m.of(forked)+" 2>&1")
	if err != nil || !strings.Contains(log, "is not that of the leader") {
		t.Errorf("its log does not tell of the fork: %v\n%s", err, log)
	}
}
