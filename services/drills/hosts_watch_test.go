//go:build drill

package drills

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/shoptest/hosts"
)

// watch has every member of the lab's database that says that it leads write, and records what it acknowledged. It asks inside
// the machines, through Docker, so it sees what a member does that nobody else reaches.
type watch struct {
	stop context.CancelFunc
	done sync.WaitGroup
	next atomic.Int64 // the last row's id: below 0, where nobody else's are

	mu      sync.Mutex
	written []written
	claims  []claim
	asking  map[string]bool // containers
	asked   int
}

// claim is a member's answer that it leads.
type claim struct {
	member string
	at     time.Time
}

// written is a row that a member acknowledged.
type written struct {
	claim

	id       int64
	timeline uint64
	ended    time.Time
}

// How often a member is asked, and looked for.
const (
	askEvery  = 200 * time.Millisecond
	findEvery = 2 * time.Second
)

// watchMembers begins. The database of the drill has to be there.
func watchMembers(t *testing.T) *watch {
	t.Helper()
	all, err := hosts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{asking: map[string]bool{}}
	w.next.Store(-1000)
	var ctx context.Context
	ctx, w.stop = context.WithTimeout(context.WithoutCancel(t.Context()), maxDrill)
	for _, h := range all {
		w.done.Go(func() { w.find(ctx, h) })
	}
	t.Cleanup(w.finish)
	return w
}

func (w *watch) finish() {
	if w != nil {
		w.stop()
		w.done.Wait()
	}
}

// find begins to ask each member that a machine has, and those that come. A machine that is away or frozen is asked again.
func (w *watch) find(ctx context.Context, h hosts.Host) {
	tick := time.NewTicker(findEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		names, err := h.Run(ctx, "docker", "ps", "--filter", "name=^patroni-", "--format", "{{.Names}}")
		if err != nil {
			names = ""
		}
		for container := range strings.FieldsSeq(names) {
			if w.begin(container) {
				w.done.Go(func() {
					defer w.end(container)
					w.ask(ctx, h, container)
				})
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (w *watch) begin(container string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asking[container] {
		return false
	}
	w.asking[container] = true
	return true
}

func (w *watch) end(container string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.asking, container)
}

// answered ends the answer to each statement.
const answered = "answered"

// ask has one psql in the member's container for as long as that lives: its PostgreSQL, its container, its machine.
func (w *watch) ask(ctx context.Context, h hosts.Host, container string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	psql := exec.CommandContext(ctx, "docker", "exec", "--interactive", h.Name,
		"docker", "exec", "--interactive", container, "psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--dbname", database)
	psql.WaitDelay = time.Second
	in, errIn := psql.StdinPipe()
	out, errOut := psql.StdoutPipe()
	if errIn != nil || errOut != nil || psql.Start() != nil {
		return
	}
	defer func() { cancel(); _ = psql.Wait() }() // it was ended
	lines := bufio.NewScanner(out)
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	// What superusers do is logged: not five lines a second.
	if _, ok := statement(in, lines, "set pgaudit.log = 'none'"); !ok {
		return
	}
	for ctx.Err() == nil && w.askOnce(in, lines, container) {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// askOnce tells whether the session goes on.
func (w *watch) askOnce(in io.Writer, lines *bufio.Scanner, member string) bool {
	c := claim{member: member, at: time.Now()}
	replica, ok := statement(in, lines, "select pg_is_in_recovery()")
	if !ok || replica == "" {
		return false
	}
	w.mu.Lock()
	w.asked++
	w.mu.Unlock()
	if replica != "f" {
		return true
	}
	w.mu.Lock()
	w.claims = append(w.claims, c)
	w.mu.Unlock()
	row := written{claim: claim{member: member, at: time.Now()}, id: w.next.Add(-1)}
	// psql prints what was returned when the commit was acknowledged. In the file's name the timeline comes first.
	timeline, ok := statement(in, lines, fmt.Sprintf(
		"insert into acks values (%d, 'watch') returning substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)", row.id))
	var err error
	if row.timeline, err = strconv.ParseUint(timeline, 16, 32); err == nil {
		row.ended = time.Now()
		w.mu.Lock()
		w.written = append(w.written, row)
		w.mu.Unlock()
	}
	return ok
}

// statement is the one line that a statement returned; empty where it failed.
func statement(in io.Writer, lines *bufio.Scanner, sql string) (answer string, ok bool) {
	if _, err := fmt.Fprintf(in, "%s;\n\\echo %s\n", sql, answered); err != nil {
		return "", false
	}
	for lines.Scan() {
		if lines.Text() == answered {
			return answer, true
		}
		answer = lines.Text()
	}
	return answer, false
}

// ids are the rows that were acknowledged.
func (w *watch) ids() (ids []int64) {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, row := range w.written {
		ids = append(ids, row.id)
	}
	return ids
}

// judge fails the test where two members took writes at once, and returns how often that was so.
func (w *watch) judge(t *testing.T) (wrong int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	problems := twoLead(w.written)
	if len(w.written) == 0 {
		problems = append(problems, "no member was seen to take writes: the watch saw nothing")
	}
	for _, problem := range problems {
		t.Error(problem)
	}
	t.Logf("members were asked %d times in their machines; %d of the answers were that they lead, after which they acknowledged %d writes",
		w.asked, len(w.claims), len(w.written))
	return len(problems)
}

// twoLead tells in words where two members took writes at once: each timeline is one member's, and none acknowledges a write that
// was begun when one of a later timeline had been acknowledged.
func twoLead(rows []written) (problems []string) {
	first := map[uint64]written{} // of each timeline, the one that was acknowledged first
	for _, row := range rows {
		if before, ok := first[row.timeline]; !ok || row.ended.Before(before.ended) {
			first[row.timeline] = row
		}
	}
	for _, row := range rows {
		for timeline, began := range first {
			switch {
			case timeline == row.timeline && began.member != row.member:
				problems = append(problems, fmt.Sprintf("%s and %s both took writes on timeline %d", began.member, row.member, timeline))
			case timeline > row.timeline && row.at.After(began.ended):
				problems = append(problems, fmt.Sprintf("%s acknowledged a write of %s on timeline %d, when %s had acknowledged one on timeline %d at %s",
					row.member, row.at.Format("15:04:05.000"), row.timeline, began.member, timeline, began.ended.Format("15:04:05.000")))
			}
		}
	}
	return problems
}

func TestTwoLead(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	row := func(member string, timeline uint64, began, ended int) written {
		return written{claim: claim{member, at(began)}, timeline: timeline, ended: at(ended)}
	}
	for name, c := range map[string]struct {
		rows []written
		want int
	}{
		"one after the other":             {[]written{row("a", 1, 0, 10), row("b", 2, 20, 30), row("a", 3, 40, 50)}, 0},
		"acknowledged late, begun before": {[]written{row("a", 1, 0, 90), row("b", 2, 20, 30)}, 0},
		"the old one goes on":             {[]written{row("b", 2, 20, 30), row("a", 1, 40, 50), row("a", 1, 60, 70)}, 2},
		"one timeline, two members":       {[]written{row("a", 1, 0, 10), row("b", 1, 20, 30)}, 1},
	} {
		if problems := twoLead(c.rows); len(problems) != c.want {
			t.Errorf("%s: %q, want %d", name, problems, c.want)
		}
	}
}
