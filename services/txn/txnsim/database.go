package txnsim

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

// The times of a participant, as txn/participant and the databases have them.
const (
	lockTimeout = 500 * time.Millisecond
	scanEvery   = 700 * time.Millisecond
	doubtAfter  = 1200 * time.Millisecond
)

// Work makes the changes that a payload asks for. It locks the rows that it reads or
// changes (Change.Lock), reads them in a Change.Statement, and registers what becomes
// visible with the commit (Change.Effect). A fault that it returns is a refusal.
type Work func(c *Change, payload []byte) error

// Database is a participant: what txn/participant does, over a PostgreSQL that crashes at
// any time, and then keeps what is prepared or committed and loses everything else. The
// tables themselves are the scenario's, in variables that it touches in a Work's
// statements and effects, in Read and in Peek alone.
type Database struct {
	Name string

	w      *World
	branch Work
	steps  map[string]Work
	skew   atomic.Int64 // of its clock, in nanoseconds

	mu       sync.Mutex
	life     int // changes of an earlier life are lost
	down     bool
	markers  map[string]marker  // the visible rows of branches, by gid
	begun    map[string]*Change // not prepared yet
	prepared map[string]*Change // by gid
	locks    map[string]*Change // by row
	freed    chan struct{}      // closed and made anew when a change ends
	applied  map[string]int     // by gid, how often
	made     map[string]*stepMarker
}

// marker is a row of branch_markers: of a branch that is prepared, which is visible once
// that is committed, or of an abort.
type marker struct {
	state    string
	deadline time.Time
}

// Change is the local transaction of a branch or a step.
type Change struct {
	d        *Database
	id       string // the gid, or the step's key
	life     int
	deadline time.Time
	rows     []string // that it has locked
	effects  []func() // made visible by its commit
	undo     []func() // take them back
	since    time.Time
	busy     bool // being finished
}

// NewDatabase makes a participant of this name. branch does what a transaction asks of it;
// steps does what sagas ask of it, by the names of their steps. Either may be nil.
func (w *World) NewDatabase(name string, branch Work, steps map[string]Work) *Database {
	return &Database{
		Name: name, w: w, branch: branch, steps: steps,
		markers: map[string]marker{}, begun: map[string]*Change{}, prepared: map[string]*Change{},
		locks: map[string]*Change{}, freed: make(chan struct{}), applied: map[string]int{}, made: map[string]*stepMarker{},
	}
}

// Lock takes a row until the change ends. It waits 500 ms for another change that holds
// it, and is then fault.Contended.
func (c *Change) Lock(row string) error {
	d := c.d
	return d.await(c.life, func() bool {
		if holder := d.locks[row]; holder != nil && holder != c {
			return false
		}
		if !slices.Contains(c.rows, row) {
			d.locks[row], c.rows = c, append(c.rows, row)
		}
		return true
	})
}

// Statement runs do as one statement of the change.
func (c *Change) Statement(do func() error) error { return c.d.statement(c.life, do) }

// Effect registers what the commit makes visible, and what takes it back if it is a step's
// and that is undone; nil cannot be taken back.
func (c *Change) Effect(do, undo func()) {
	c.effects = append(c.effects, do)
	if undo != nil {
		c.undo = append(c.undo, undo)
	}
}

// Read runs do as a statement of a session of its own.
func (d *Database) Read(do func() error) error {
	life, err := d.connect()
	if err != nil {
		return err
	}
	return d.statement(life, do)
}

// Peek runs do on what is visible at this moment, whether or not the database is up.
func (d *Database) Peek(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	do()
}

func (d *Database) now() time.Time { return time.Now().Add(time.Duration(d.skew.Load())) }

// crash loses what is not prepared, and its locks.
func (d *Database) crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.life++
	d.down = true
	for _, c := range d.begun {
		d.end(c)
	}
	for _, c := range d.prepared {
		c.busy = false
	}
	d.wake()
}

func (d *Database) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = false
}

// meddle rolls back by hand one prepared transaction; nobody is told.
func (d *Database) meddle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, gid := range slices.Sorted(maps.Keys(d.prepared)) {
		if c := d.prepared[gid]; !c.busy {
			d.w.Tellf("%s: %s is rolled back by hand", d.Name, gid)
			d.w.mu.Lock()
			d.w.meddled[gid] = true
			d.w.mu.Unlock()
			d.end(c)
			return
		}
	}
}

// end releases what c holds; the caller holds mu.
func (d *Database) end(c *Change) {
	delete(d.begun, c.id)
	delete(d.prepared, c.id)
	for _, row := range c.rows {
		delete(d.locks, row)
	}
	d.wake()
}

// wake lets those who wait try again; the caller holds mu.
func (d *Database) wake() {
	close(d.freed)
	d.freed = make(chan struct{})
}

// connect begins a session, which ends when the server crashes.
func (d *Database) connect() (life int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return 0, gone()
	}
	return d.life, nil
}

// statement takes some time, and then does all that it does at once.
func (d *Database) statement(life int, do func() error) error {
	most := 2 * time.Millisecond
	if d.w.faulty("slow "+d.Name, .1) {
		most = 300 * time.Millisecond
	}
	d.w.Pass(d.w.Between(d.Name+" statement", 10*time.Microsecond, most))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down || d.life != life {
		return gone()
	}
	return do()
}

// await is a statement that waits for locks, up to lockTimeout: do reports whether it
// got them.
func (d *Database) await(life int, do func() bool) error {
	limit := time.NewTimer(lockTimeout)
	defer limit.Stop()
	for {
		done, freed := false, make(<-chan struct{})
		err := d.statement(life, func() error {
			done, freed = do(), d.freed
			return nil
		})
		if err != nil || done {
			return err
		}
		select {
		case <-freed:
		case <-limit.C:
			return fault.New(fault.Contended, "a row is locked")
		case <-d.w.over:
			return gone()
		}
	}
}

// discard rolls a change back, unless a crash has.
func (d *Database) discard(c *Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.life == d.life {
		d.end(c)
	}
}

// findings are what is on record about a branch.
type findings struct {
	prepared bool
	state    string // of its marker; "" is none
	late     bool   // its deadline has passed
}

// find reads what is on record about a branch; the caller holds mu.
func (d *Database) find(m twophase.Message) findings {
	f := findings{prepared: d.prepared[m.GID] != nil, late: !d.now().Before(m.Deadline)}
	if row, there := d.markers[m.GID]; there {
		f.state = row.state
		if !row.deadline.Equal(m.Deadline) {
			f.state = "aborted"
		}
	}
	return f
}
