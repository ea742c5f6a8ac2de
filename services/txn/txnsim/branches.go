package txnsim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

// prepare does what participant.Prepare does.
func (d *Database) prepare(m twophase.Message, payload []byte) error {
	life, err := d.connect()
	for round := 0; round < 3 && err == nil; round++ {
		var c *Change
		var f findings
		c, f, err = d.mark(life, m)
		switch {
		case fault.KindOf(err) == fault.Contended && err != nil:
			return d.findAgain(life, m, err)
		case err != nil:
			return err
		case c != nil:
			return d.fill(c, payload)
		case f.prepared, f.state == "prepared":
			return nil
		case f.state == "aborted", f.late:
			return fault.New(fault.Aborted, "aborted or late")
		}
	}
	if err == nil {
		err = fault.New(fault.Contended, "another call about the same branch is running")
	}
	return err
}

// mark begins a change with its marker, if nothing on record is against it.
func (d *Database) mark(life int, m twophase.Message) (c *Change, f findings, err error) {
	err = d.statement(life, func() error {
		f = d.find(m)
		return nil
	})
	if err != nil || f.prepared || f.state != "" || f.late {
		return nil, f, err
	}
	err = d.await(life, func() bool {
		if _, visible := d.markers[m.GID]; visible {
			return true // the insert does nothing: the row came in between
		}
		if d.begun[m.GID] != nil || d.prepared[m.GID] != nil {
			return false
		}
		c = &Change{d: d, id: m.GID, life: life, deadline: m.Deadline}
		d.begun[m.GID] = c
		return true
	})
	return c, f, err
}

func (d *Database) findAgain(life int, m twophase.Message, contended error) error {
	return d.statement(life, func() error {
		switch f := d.find(m); {
		case f.prepared, f.state == "prepared":
			return nil
		case f.state == "aborted":
			return fault.New(fault.Aborted, "aborted")
		}
		return contended
	})
}

// fill does the work of a branch and prepares it.
func (d *Database) fill(c *Change, payload []byte) error {
	if err := d.branch(c, payload); err != nil {
		d.discard(c)
		return err
	}
	return d.statement(c.life, func() error {
		delete(d.begun, c.id)
		d.prepared[c.id], c.since = c, time.Now()
		d.w.Tellf("%s: %s is prepared", d.Name, c.id)
		d.wake()
		d.w.checkPrepared(d.Name, c.id)
		return nil
	})
}

// finish carries out commit or rollback prepared, and reports false when nothing is
// prepared. Meanwhile no other session can finish the branch.
func (d *Database) finish(life int, gid string, commits bool) (found bool, err error) {
	var c *Change
	err = d.statement(life, func() error {
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
	return true, d.statement(life, func() error {
		if commits {
			for _, effect := range c.effects {
				effect()
			}
			d.applied[gid]++
			d.markers[gid] = marker{"prepared", c.deadline}
		}
		d.w.Tellf("%s: %s is over, commit %v", d.Name, gid, commits)
		d.end(c)
		return nil
	})
}

// commit does what participant.Commit does.
func (d *Database) commit(m twophase.Message) error {
	life, err := d.connect()
	if err != nil {
		return err
	}
	found, err := d.finish(life, m.GID, true)
	if found || err != nil {
		return err
	}
	return d.statement(life, func() error {
		f := d.find(m)
		switch {
		case f.state == "prepared" && d.w.defect != NoMarker:
			return nil
		case f.prepared:
			return fault.New(fault.OutcomeUnknown, "only just prepared")
		}
		if d.w.defect == LostIsDone {
			return nil
		}
		return fault.New(fault.Lost, "neither prepared nor committed")
	})
}

// abort does what participant.Abort does.
func (d *Database) abort(m twophase.Message) error {
	life, err := d.connect()
	for round := 0; round < 5 && err == nil; round++ {
		if _, err = d.finish(life, m.GID, false); err != nil && fault.As(err).Message != "busy" {
			return err
		}
		if d.w.defect == NoTombstone {
			return nil
		}
		var state string
		state, err = d.bury(life, m)
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

// bury leaves a tombstone where no marker is, and returns the state of the one that is
// there then.
func (d *Database) bury(life int, m twophase.Message) (state string, err error) {
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
	return state, err
}

// recover asks about what nobody has finished, as participant.Recovery does.
func (d *Database) recover() {
	p := d.w.newProcess(d.Name)
	for d.w.Pass(scanEvery) {
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

func (d *Database) resolve(p *Process, gid string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n := d.w.anyNode(d.Name + " queries")
	a, err := Send(ctx, p, d.Name+" queries "+gid, func() (twophase.Answer, error) {
		if !n.alive() {
			return twophase.Answer{}, gone()
		}
		return n.Transactions.QueryDecision(ctx, gid, d.Name)
	})
	m := twophase.Message{GID: gid, Branch: d.Name, Branches: a.Branches, Deadline: a.Deadline}
	switch {
	case err != nil:
		return
	case a.Verdict == twophase.VerdictCommit:
		err = d.commit(m)
	case a.Verdict == twophase.VerdictAbort:
		err = d.abort(m)
	}
	if fault.KindOf(err) == fault.Lost && err != nil {
		d.w.lost(d.Name+" carries out the answer about "+gid, gid)
	}
}

// branches is a participant of transactions as one coordinator reaches it.
type branches struct {
	p *Process
	d *Database
}

var _ twophase.Participant = branches{}

func (b branches) call(ctx context.Context, op string, m twophase.Message, do func() error) error {
	name := fmt.Sprintf("%s: %s %s at %s", b.p.Name, op, m.GID, b.d.Name)
	_, err := Send(ctx, b.p, name, func() (struct{}, error) {
		err := do()
		if err != nil && fault.KindOf(err) == fault.Lost {
			b.p.w.lost(name, m.GID)
		}
		return struct{}{}, err
	})
	return err
}

// Prepare implements twophase.Participant.
func (b branches) Prepare(ctx context.Context, m twophase.Message, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fault.Wrap("encode a payload", err)
	}
	err = b.call(ctx, "prepare", m, func() error { return b.d.prepare(m, body) })
	if b.p.w.defect == UnknownIsYes && fault.Unknown(err) {
		return nil
	}
	return err
}

// Commit implements twophase.Participant.
func (b branches) Commit(ctx context.Context, m twophase.Message) error {
	err := b.call(ctx, "commit", m, func() error { return b.d.commit(m) })
	if b.p.w.defect == UnknownIsDone && fault.Unknown(err) {
		return nil
	}
	return err
}

// Abort implements twophase.Participant.
func (b branches) Abort(ctx context.Context, m twophase.Message) error {
	return b.call(ctx, "abort", m, func() error { return b.d.abort(m) })
}
