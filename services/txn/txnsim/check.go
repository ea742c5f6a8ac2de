package txnsim

import (
	"context"
	"net/http"
	"slices"
	"time"

	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

// checkPrepared reports a branch that is prepared after its attempt's abort has been
// acknowledged by all, for another attempt may have begun.
func (w *World) checkPrepared(name, gid string) {
	tx, err := w.leader.transactions.Transaction(context.Background(), gid)
	if err == nil && tx.State == twophase.Aborted && !tx.FinishedAt.IsZero() && tx.Kind != twophase.KindUnknown {
		w.Breachf("%s prepared %s after its abort was acknowledged", name, gid)
	}
}

// checkDoubt reports what was begun before the faults ended and is not over yet.
func (w *World) checkDoubt(calm time.Time) {
	for _, tx := range w.all() {
		if tx.FinishedAt.IsZero() && tx.CreatedAt.Before(calm) {
			w.Breachf("%s is still %s", tx.GID, tx.State)
		}
	}
	for _, d := range w.scenario.Databases {
		d.mu.Lock()
		for gid, c := range d.prepared {
			if c.since.Before(calm) {
				w.Breachf("%s still holds %s", d.Name, gid)
			}
		}
		d.mu.Unlock()
	}
}

func (w *World) all() []twophase.Transaction {
	all, err := w.leader.transactions.Transactions(context.Background(), twophase.Filter{Limit: 1 << 20})
	if err != nil {
		w.Breachf("%v", err)
	}
	return all
}

// sagasEnd is how long after the last client a saga may take: its pauses between failed
// tries have grown with the faults.
const sagasEnd = time.Minute

// awaitSagas waits until every saga is over.
func (w *World) awaitSagas() {
	running := func(r sagaRow) bool { return !r.State.Final() }
	for limit := time.Now().Add(sagasEnd); slices.ContainsFunc(w.leader.sagas.all(), running); {
		if time.Now().After(limit) || !w.Pass(200*time.Millisecond) {
			return // checkSaga reports it
		}
	}
}

// checkEnd reports what does not hold once everything is over.
func (w *World) checkEnd() {
	for _, d := range w.scenario.Databases {
		if len(d.prepared)+len(d.begun)+len(d.locks) > 0 {
			w.Breachf("%s is left with %d prepared, %d begun, %d locks", d.Name, len(d.prepared), len(d.begun), len(d.locks))
		}
	}
	done := map[string]string{} // by effect, which transaction or saga had it
	heuristic := w.checkTransactions(done)
	for _, s := range w.leader.sagas.all() {
		w.checkSaga(s.Saga)
		if s.Outcome.Status < http.StatusBadRequest {
			done[EffectOf(s.Caller, s.Key)] = s.ID
		}
	}
	if heuristic {
		return // people have to settle it
	}
	for _, c := range w.clients {
		c.checkAnswers(done)
	}
	if w.scenario.Check != nil {
		w.scenario.Check()
	}
}

// checkTransactions checks that of each attempt all branches were committed or none, and
// that no two had the same effect.
func (w *World) checkTransactions(done map[string]string) (heuristic bool) {
	for _, tx := range w.all() {
		switch {
		case tx.State == twophase.Committed:
			w.checkBranches(tx, 1)
			effect := EffectOf(tx.Caller, tx.Key)
			if w.scenario.Effect != nil {
				effect = w.scenario.Effect(tx)
			}
			if other, twice := done[effect]; twice {
				w.Breachf("%s and %s both did %s", other, tx.GID, effect)
			}
			done[effect] = tx.GID
		case tx.State == twophase.Aborted:
			w.checkBranches(tx, 0)
		case tx.State == twophase.Heuristic && w.isMeddled(tx.GID):
			heuristic = true
		default:
			w.Breachf("%s ended %s: %v", tx.GID, tx.State, tx.Notes)
		}
	}
	return heuristic
}

// checkBranches checks how often each branch was committed, and what was told about it.
func (w *World) checkBranches(tx twophase.Transaction, want int) {
	for _, d := range w.scenario.Databases {
		named := slices.Contains(tx.Branches, d.Name)
		if n := d.applied[tx.GID]; n != want && (named || n > 0) {
			w.Breachf("%s is %s: committed %d times in %s", tx.GID, tx.State, n, d.Name)
		}
	}
	if told, known := w.leader.verdict[tx.GID]; known && told != (want == 1) {
		w.Breachf("%s is %s, and commit %v was told", tx.GID, tx.State, told)
	}
}

// checkSaga checks that a saga has come to its end, that its steps took effect one after
// the other, each once, and that unless it was completed all that can be undone was undone,
// the last first.
func (w *World) checkSaga(s saga.Saga) {
	if !s.State.Final() {
		w.Breachf("saga %s is still %s: %+v", s.ID, s.State, s.Steps)
		return
	}
	var standing []string // steps that took effect and were not undone
	undoing := false
	for _, e := range w.effects[s.ID] {
		last := len(standing) - 1
		switch {
		case e.op == saga.Undo && last >= 0 && standing[last] == e.step:
			standing, undoing = standing[:last], true
		case e.op == saga.Undo:
			w.Breachf("saga %s: %s was undone while %v were done", s.ID, e.step, standing)
		case undoing:
			w.Breachf("saga %s: %s was done after the saga had begun to be undone", s.ID, e.step)
		case slices.Contains(standing, e.step):
			w.Breachf("saga %s: %s was done twice", s.ID, e.step)
		default:
			standing = append(standing, e.step)
		}
	}
	var want []string
	for _, step := range s.Steps {
		if step.State == saga.Done && w.isMade(step.Name) {
			want = append(want, step.Name)
		}
	}
	if !slices.Equal(standing, want) {
		w.Breachf("saga %s is %s: %v are done in the databases, want %v", s.ID, s.State, standing, want)
	}
	pending := slices.ContainsFunc(s.Steps, func(step saga.Step) bool { return step.State != saga.Done })
	if s.State == saga.Completed && pending || s.State != saga.Completed && len(want) > 0 {
		w.Breachf("saga %s is %s: %+v", s.ID, s.State, s.Steps)
	}
}

// isMade tells whether a step of this name is made by a participant: an approval is not.
func (w *World) isMade(step string) bool {
	return slices.ContainsFunc(w.scenario.Databases, func(d *Database) bool { return d.steps[step] != nil })
}

// checkAnswers compares what a client was told with what was done, and with what the
// others under its key were told.
func (c *Client) checkAnswers(done map[string]string) {
	id, did := done[c.Effect]
	for _, a := range c.answers {
		if c.Effect != "" && did != (a.Kind == "") {
			c.w.Breachf("%s was told %q (%s), and %q was done: %v", c.Name, a.Kind, a.Message, c.Effect, did)
		}
		if c.Check != nil {
			c.Check(a, id)
		}
	}
	for _, other := range c.w.clients {
		for i := 0; c.Key != "" && other.Key == c.Key && i < len(c.answers); i++ {
			for _, a := range other.answers {
				if a != c.answers[i] {
					c.w.Breachf("%s was told %+v, %s %+v", c.Name, c.answers[i], other.Name, a)
				}
			}
		}
	}
}
