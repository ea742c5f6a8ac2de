package checkout_test

import (
	"context"
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

// database is a participant: txn/participant over a PostgreSQL that can die at any
// time, and then keeps what is prepared and loses what is not.
type database struct {
	w    *world
	name string
	skew atomic.Int64 // of its clock, in nanoseconds

	mu       sync.Mutex
	life     int // changes of an earlier life are lost
	down     bool
	markers  map[string]marker  // the visible rows, by gid
	begun    map[string]*change // not prepared yet, by gid
	prepared map[string]*change
	locks    map[string]*change // by row
	freed    chan struct{}      // closed and made anew when something ends
	applied  map[string]int     // by gid, how often
}

// marker is a row of branch_markers: prepared, which is visible once it is
// committed, or aborted.
type marker struct {
	state    string
	deadline time.Time
}

// change is a branch's transaction.
type change struct {
	gid      string
	life     int
	deadline time.Time
	rows     []string // that it has locked
	effects  []func() // made visible by its commit
	since    time.Time
	busy     bool // being finished
}

func newDatabase(w *world, name string) *database {
	return &database{
		w: w, name: name, markers: map[string]marker{}, begun: map[string]*change{}, prepared: map[string]*change{},
		locks: map[string]*change{}, freed: make(chan struct{}), applied: map[string]int{},
	}
}

func (d *database) now() time.Time { return time.Now().Add(time.Duration(d.skew.Load())) }

// crash loses what is not prepared, and its locks.
func (d *database) crash() {
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

// meddle rolls back by hand what is prepared: nobody hears of it.
func (d *database) meddle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, gid := range slices.Sorted(maps.Keys(d.prepared)) {
		if c := d.prepared[gid]; !c.busy {
			d.w.tellf("%s: %s is rolled back by hand", d.name, gid)
			d.w.mu.Lock()
			d.w.meddled[gid] = true
			d.w.mu.Unlock()
			d.end(c)
			return
		}
	}
}

func (d *database) restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.down = false
}

// end lets go of what c holds; the caller holds mu.
func (d *database) end(c *change) {
	delete(d.begun, c.gid)
	delete(d.prepared, c.gid)
	for _, row := range c.rows {
		delete(d.locks, row)
	}
	d.wake()
}

// wake has those who wait look again; the caller holds mu.
func (d *database) wake() {
	close(d.freed)
	d.freed = make(chan struct{})
}

// connect begins a session, which ends with the server.
func (d *database) connect() (life int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down {
		return 0, gone()
	}
	return d.life, nil
}

// moment is one statement of a session: what it does is done at once.
func (d *database) moment(life int, do func() error) error {
	d.work("statement")
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down || d.life != life {
		return gone()
	}
	return do()
}

// work is the time that something takes.
func (d *database) work(what string) {
	most := 2 * time.Millisecond
	if d.w.faulty("slow "+d.name, .1) {
		most = 300 * time.Millisecond
	}
	d.w.pass(d.w.between(d.name+" "+what, 10*time.Microsecond, most))
}

// await is a moment that waits for locks, and not for long: do reports whether
// it got them.
func (d *database) await(life int, do func() bool) error {
	limit := time.NewTimer(lockTimeout)
	defer limit.Stop()
	for {
		done, freed := false, make(<-chan struct{})
		err := d.moment(life, func() error {
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

// lock takes a row for c.
func (d *database) lock(c *change, row string) error {
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

// glance is what a look finds.
type glance struct {
	prepared bool
	state    string
	late     bool
}

// look is a statement's own view; the caller holds mu.
func (d *database) look(m twophase.Message) glance {
	s := glance{prepared: d.prepared[m.GID] != nil, late: !d.now().Before(m.Deadline)}
	if row, there := d.markers[m.GID]; there {
		s.state = row.state
		if !row.deadline.Equal(m.Deadline) {
			s.state = "aborted"
		}
	}
	if d.w.defect == lateness {
		s.late = false
	}
	return s
}

// prepare does what Participant.Prepare does.
func (d *database) prepare(m twophase.Message, work func(*change) error) error {
	life, err := d.connect()
	for round := 0; round < 3 && err == nil; round++ {
		var c *change
		var s glance
		c, s, err = d.mark(life, m)
		switch {
		case fault.KindOf(err) == fault.Contended && err != nil:
			return d.lookAgain(life, m, err)
		case err != nil:
			return err
		case c != nil:
			return d.fill(c, work)
		case s.prepared, s.state == "prepared":
			return nil
		case s.state == "aborted", s.late:
			return fault.New(fault.Aborted, "aborted or late")
		}
	}
	if err == nil {
		err = fault.New(fault.Contended, "another call about the same branch is running")
	}
	return err
}

// mark looks, and begins a change with its marker if nothing stands against it.
func (d *database) mark(life int, m twophase.Message) (c *change, s glance, err error) {
	err = d.moment(life, func() error {
		s = d.look(m)
		return nil
	})
	if err != nil || s.prepared || s.state != "" || s.late {
		return nil, s, err
	}
	err = d.await(life, func() bool {
		if _, visible := d.markers[m.GID]; visible {
			return true // the insert does nothing: it came in between
		}
		if d.begun[m.GID] != nil || d.prepared[m.GID] != nil {
			return false
		}
		c = &change{gid: m.GID, life: life, deadline: m.Deadline}
		d.begun[m.GID] = c
		return true
	})
	return c, s, err
}

func (d *database) lookAgain(life int, m twophase.Message, contended error) error {
	return d.moment(life, func() error {
		switch s := d.look(m); {
		case s.prepared, s.state == "prepared":
			return nil
		case s.state == "aborted":
			return fault.New(fault.Aborted, "aborted")
		}
		return contended
	})
}

// fill does the work and prepares it.
func (d *database) fill(c *change, work func(*change) error) error {
	if err := work(c); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if c.life == d.life {
			d.end(c)
		}
		return err
	}
	return d.moment(c.life, func() error {
		delete(d.begun, c.gid)
		d.prepared[c.gid], c.since = c, time.Now()
		d.w.tellf("%s: %s is prepared", d.name, c.gid)
		d.wake()
		d.w.prepared(d.name, c.gid)
		return nil
	})
}

// finish carries out commit or rollback prepared: false when nothing is
// prepared. It takes its time, in which nobody else may.
func (d *database) finish(life int, gid string, commits bool) (found bool, err error) {
	var c *change
	err = d.moment(life, func() error {
		if c = d.prepared[gid]; c == nil {
			return nil
		}
		if c.busy {
			return fault.New(fault.Unavailable, "busy")
		}
		c.busy = true
		return nil
	})
	if err != nil || c == nil {
		return false, err
	}
	return true, d.moment(life, func() error {
		if commits {
			for _, effect := range c.effects {
				effect()
			}
			d.applied[gid]++
			d.markers[gid] = marker{"prepared", c.deadline}
		}
		d.w.tellf("%s: %s is over, commit %v", d.name, gid, commits)
		d.end(c)
		return nil
	})
}

// commit does what Participant.Commit does.
func (d *database) commit(m twophase.Message) error {
	life, err := d.connect()
	if err != nil {
		return err
	}
	found, err := d.finish(life, m.GID, true)
	if found || err != nil {
		return err
	}
	return d.moment(life, func() error {
		s := d.look(m)
		switch {
		case s.state == "prepared" && d.w.defect != forgetful:
			return nil
		case s.prepared:
			return fault.New(fault.OutcomeUnknown, "only just prepared")
		}
		if d.w.defect == trusting {
			return nil
		}
		return fault.New(fault.Lost, "neither prepared nor committed")
	})
}

// abort does what Participant.Abort does.
func (d *database) abort(m twophase.Message) error {
	life, err := d.connect()
	for round := 0; round < 5 && err == nil; round++ {
		if _, err = d.finish(life, m.GID, false); err != nil && fault.As(err).Message != "busy" {
			return err
		}
		if d.w.defect == noTombstone {
			return nil
		}
		var state string
		err = d.await(life, func() bool {
			row, visible := d.markers[m.GID]
			if !visible && (d.begun[m.GID] != nil || d.prepared[m.GID] != nil) {
				return false
			}
			if !visible {
				row = marker{"aborted", m.Deadline}
				d.markers[m.GID] = row
			}
			state = row.state
			return true
		})
		switch {
		case fault.KindOf(err) == fault.Contended && err != nil:
			err = nil // it may be prepared by now
		case err == nil && state != "aborted":
			return fault.New(fault.Lost, "committed")
		case err == nil:
			return nil
		}
	}
	if err == nil {
		err = fault.New(fault.OutcomeUnknown, "still being prepared or finished")
	}
	return err
}

// doubt asks about what nobody has finished, as participant.Recovery does.
func (d *database) doubt() {
	p := d.w.newProcess(d.name)
	for d.w.pass(scanEvery) {
		d.mu.Lock()
		gids := slices.Sorted(maps.Keys(d.prepared))
		gids = slices.DeleteFunc(gids, func(gid string) bool {
			return d.down || time.Since(d.prepared[gid].since) < doubtAfter
		})
		d.mu.Unlock()
		for _, gid := range gids {
			d.resolve(p, gid)
		}
	}
}

func (d *database) resolve(p *process, gid string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n := d.w.anyNode(d.name + " asks")
	a, err := send(ctx, p, d.name+" asks about "+gid, func() (twophase.Answer, error) {
		if !n.alive() {
			return twophase.Answer{}, gone()
		}
		return n.service.Transactions.Ask(ctx, gid, d.name)
	})
	m := twophase.Message{GID: gid, Branch: d.name, Branches: a.Branches, Deadline: a.Deadline}
	switch {
	case err != nil:
		return
	case a.Verdict == twophase.VerdictCommit:
		err = d.commit(m)
	case a.Verdict == twophase.VerdictAbort:
		err = d.abort(m)
	}
	if fault.KindOf(err) == fault.Lost && err != nil {
		d.w.lost(d.name+" does what it was told about "+gid, gid)
	}
}
