package checkout_test

import (
	"context"
	"encoding/json"
	"time"

	"bookstore/services/checkout"
	"bookstore/services/txn/twophase"
)

// prepared: once everyone has acknowledged an abort, no branch of it may come
// to be prepared any more, for another attempt may have begun.
func (w *world) prepared(name, gid string) {
	tx, err := w.ledger.memory.Transaction(context.Background(), gid)
	if err == nil && tx.State == twophase.Aborted && !tx.FinishedAt.IsZero() && tx.Kind != twophase.KindUnknown {
		w.breachf("%s prepared %s after its abort was acknowledged", name, gid)
	}
}

// undoubted: what was begun before the calm is over by now.
func (w *world) undoubted(calm time.Time) {
	for _, tx := range w.transactions() {
		if tx.FinishedAt.IsZero() && tx.CreatedAt.Before(calm) {
			w.breachf("%s is still %s", tx.GID, tx.State)
		}
	}
	for _, d := range []*database{w.books.database, w.orders.database} {
		d.mu.Lock()
		for gid, c := range d.prepared {
			if c.since.Before(calm) {
				w.breachf("%s still holds %s", d.name, gid)
			}
		}
		d.mu.Unlock()
	}
}

func (w *world) transactions() []twophase.Transaction {
	all, err := w.ledger.memory.Transactions(context.Background(), twophase.Filter{Limit: 1 << 20})
	if err != nil {
		w.breachf("%v", err)
	}
	return all
}

// settled checks what must hold when everything is over.
func (w *world) settled() {
	for _, d := range []*database{w.books.database, w.orders.database} {
		if len(d.prepared)+len(d.begun)+len(d.locks) > 0 {
			w.breachf("%s is left with %d prepared, %d begun, %d locks", d.name, len(d.prepared), len(d.begun), len(d.locks))
		}
	}
	effects, heuristic := map[string]twophase.Transaction{}, false
	for _, tx := range w.transactions() {
		switch tx.State {
		case twophase.Committed:
			w.did(tx, 1)
			key := effectOf(tx)
			if other, twice := effects[key]; twice {
				w.breachf("%s and %s both did %s", other.GID, tx.GID, key)
			}
			effects[key] = tx
		case twophase.Aborted:
			w.did(tx, 0)
		default:
			heuristic = heuristic || w.meddled[tx.GID]
			if tx.State != twophase.Heuristic || !w.meddled[tx.GID] {
				w.breachf("%s ended %s: %v", tx.GID, tx.State, tx.Notes)
			}
		}
	}
	if heuristic {
		return // and people will have to see what they can do
	}
	w.stockIsWhatOrdersLeft()
	for _, c := range w.clients {
		c.answeredTruly(effects)
	}
}

// did checks what an attempt has done, and what was told about it.
func (w *world) did(tx twophase.Transaction, want int) {
	if b, o := w.books.applied[tx.GID], w.orders.applied[tx.GID]; b != want || o != want {
		w.breachf("%s is %s: done %d times in books, %d in orders", tx.GID, tx.State, b, o)
	}
	if told, known := w.ledger.verdict[tx.GID]; known && told != (want == 1) {
		w.breachf("%s is %s, and commit %v was told", tx.GID, tx.State, told)
	}
}

// effectOf names what may be done only once.
func effectOf(tx twophase.Transaction) string {
	if tx.Kind == checkout.KindCancel {
		return "cancel " + checkout.OrderOf(tx)
	}
	return tx.Caller + " " + tx.Key
}

func (w *world) stockIsWhatOrdersLeft() {
	left := map[int64]int64{}
	for id := range w.books.stock {
		left[id] = initialStock
	}
	for _, o := range w.orders.rows {
		if o.Status == checkout.StatusPlaced {
			for _, item := range o.Items {
				left[item.BookID] -= item.Quantity
			}
		}
	}
	for id, n := range w.books.stock {
		if n != left[id] || n != initialStock+w.books.moved[id] || n < 0 {
			w.breachf("of book %d there are %d, orders left %d, the ledger %d", id, n, left[id], initialStock+w.books.moved[id])
		}
	}
}

// answeredTruly compares what a client was told with what was done, and with
// what the others under its key were told.
func (c *client) answeredTruly(effects map[string]twophase.Transaction) {
	w := c.w
	key := "customer:" + c.request.CustomerID + " " + c.key
	if c.orderID != "" {
		key = "cancel " + c.orderID
	}
	tx, done := effects[key]
	for _, a := range c.answers {
		switch {
		case a.kind != "" && c.orderID != "":
			w.breachf("%s was refused: %s", c.name, a.kind)
		case done != (a.kind == ""):
			w.breachf("%s was told %q (%s), and %q was done: %v", c.name, a.kind, a.message, key, done)
		case done && c.orderID == "":
			var o checkout.Order
			if err := json.Unmarshal([]byte(a.body), &o); err != nil || o.ID != checkout.OrderOf(tx) {
				w.breachf("%s was told %s, order %s was placed", c.name, a.body, checkout.OrderOf(tx))
			}
		}
	}
	for _, other := range w.clients {
		for i := 0; c.key != "" && other.key == c.key && i < len(c.answers); i++ {
			for _, a := range other.answers {
				if !a.same(c.answers[i]) {
					w.breachf("%s was told %+v, %s %+v", c.name, c.answers[i], other.name, a)
				}
			}
		}
	}
}
