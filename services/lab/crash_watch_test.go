package lab_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/lab"
)

// link is a direction in which messages go: from a process to another, or to its database.
type link struct{ from, to string }

func (l link) String() string { return l.from + "→" + l.to }

// message is a request on a link, or the answer to it.
type message struct {
	link

	text    string // its statements, or its method and path: the same in every run
	content []byte // all that was sent
}

// phase is where a message is when a process dies.
type phase string

// Of each message there are two moments. What the receiver did in between is whole in the
// second and did not begin in the first.
const (
	before phase = "before" // it was sent and has not arrived
	after  phase = "after"  // it was answered, and the answer has not arrived
)

// point is a moment of a scenario at which a process may die.
type point struct {
	link

	text  string
	nth   int // of the same messages in one run, from 1
	phase phase
}

func (p point) String() string {
	const most = 90
	text := p.text
	if len(text) > most {
		text = text[:most] + "…"
	}
	return fmt.Sprintf("%s: %s #%d, %s", p.link, text, p.nth, p.phase)
}

// watch sees every message of a shop, one at a time: while it handles one, no other gets
// through, so that a crash happens at one moment of the protocol.
type watch struct {
	mu       sync.Mutex
	learning bool
	idle     map[string]bool // messages of the idle shop, by link and text
	idleIDs  map[string]bool // identifiers in them
	run      *trace          // of the scenario that runs; nil between them
}

// trace is what a watch sees of one run of a scenario.
type trace struct {
	ids     map[string]bool // that belong to the run: its key, and what appeared beside one of them
	counts  map[point]int
	points  []point
	targets []crash // the crashes to cause, one after the other
	kill    func(lab.Service)
	deaths  []int // how many points had been seen at each of the targets
}

// happened tells whether all its crashes were caused.
func (s *trace) happened() bool { return len(s.deaths) == len(s.targets) }

// crash is a process that dies at a point.
type crash struct {
	point

	victim lab.Service
}

func (c crash) String() string { return fmt.Sprintf("%s dies at %s", c.victim, c.point) }

// newWatch makes a watch that is learning.
func newWatch() *watch {
	return &watch{learning: true, idle: map[string]bool{}, idleIDs: map[string]bool{}}
}

// learned ends the time in which the shop is idle.
func (w *watch) learned() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learning = false
}

// begin makes the watch record the messages of the run with this key.
func (w *watch) begin(s *trace, key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.ids, s.counts = map[string]bool{key: true}, map[point]int{}
	w.run = s
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run = nil
}

// hold is called with each message before it goes on; false loses it.
func (w *watch) hold(m message, at phase) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.learning:
		w.idle[m.String()+m.text] = true
		for _, id := range identifiers(m.content) {
			w.idleIDs[id] = true
		}
	case w.run != nil:
		return w.run.see(m, at, w)
	}
	return true
}

// see counts the message if it belongs to the run, and kills when it is the target. A message
// of the idle shop too belongs to it if it names an identifier of the run.
func (s *trace) see(m message, at phase, w *watch) bool {
	if w.idle[m.String()+m.text] && !s.named(m.content) {
		return true
	}
	for _, id := range identifiers(m.content) {
		if !w.idleIDs[id] {
			s.ids[id] = true
		}
	}
	kind := point{link: m.link, text: m.text, phase: at}
	s.counts[kind]++
	p := kind
	p.nth = s.counts[kind]
	s.points = append(s.points, p)
	if s.happened() || p != s.targets[len(s.deaths)].point {
		return true
	}
	victim := s.targets[len(s.deaths)].victim
	s.deaths = append(s.deaths, len(s.points))
	s.kill(victim)
	return string(victim) != m.from // what a dead process was about to send or to read is lost
}

// victims are the processes that may die at a point: the one that sends, and the one that
// receives.
func (p point) victims() (all []lab.Service) {
	for _, name := range []string{p.from, p.to} {
		if slices.Contains(processes, lab.Service(name)) {
			all = append(all, lab.Service(name))
		}
	}
	return all
}

// named tells whether one of the run's identifiers is in what was sent, as text or, as
// PostgreSQL takes them, in sixteen bytes.
func (s *trace) named(content []byte) bool {
	for id := range s.ids {
		if bytes.Contains(content, []byte(id)) {
			return true
		}
		if u, err := uuid.Parse(id); err == nil && bytes.Contains(content, u[:]) {
			return true
		}
	}
	return false
}

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	idPattern      = regexp.MustCompile(uuidPattern + `|[0-9a-f]{32}`)
	commentPattern = regexp.MustCompile(`--[^\n]*`)
	spacePattern   = regexp.MustCompile(`\s+`)
)

func identifiers(content []byte) []string {
	var ids []string
	for _, id := range idPattern.FindAll(content, -1) {
		ids = append(ids, string(id))
	}
	return ids
}

// nameless takes out of a statement or path what differs from run to run.
func nameless(text string) string {
	text = commentPattern.ReplaceAllString(idPattern.ReplaceAllString(text, "<id>"), "")
	return strings.TrimSpace(spacePattern.ReplaceAllString(text, " "))
}

// inEach are the points that several runs have in common, in the order of the first.
func inEach(runs [][]point) (common []point) {
	for _, p := range runs[0] {
		if !slices.ContainsFunc(runs, func(run []point) bool { return !slices.Contains(run, p) }) {
			common = append(common, p)
		}
	}
	return common
}

// union are the points of any of the runs.
func union(runs [][]point) (all []point) {
	for _, run := range runs {
		for _, p := range run {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// A message belongs to a run if it was not seen while the shop was idle, or if it names an
// identifier of the run; identifiers beside that one belong to the run too.
func TestWatchFindsTheMessagesOfARun(t *testing.T) {
	t.Parallel()
	w := newWatch()
	db := link{"one", "db"}
	instance, order := uuid.NewString(), uuid.New()
	say := func(text, content string) { w.hold(message{db, text, []byte(content)}, before) }
	say("scan", instance)
	w.learned()
	seen := &trace{}
	w.begin(seen, "key-1")
	say("scan", instance)                           // by itself
	say("insert", "key-1 "+instance)                // new
	say("insert", "key-1 "+order.String())          // again, and it names an order
	say("scan", instance+" "+order.String())        // about the order
	say("scan", "\x00\x00"+string(order[:])+"\x00") // the same in binary
	w.end()
	say("insert", "key-1")
	var got []string
	for _, p := range seen.points {
		got = append(got, fmt.Sprintf("%s %d", p.text, p.nth))
	}
	if want := []string{"insert 1", "insert 2", "scan 1", "scan 2"}; !slices.Equal(got, want) {
		t.Errorf("saw %q, want %q", got, want)
	}
}
