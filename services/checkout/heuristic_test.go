package checkout_test

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"bookstore/services/platform/call"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
)

// shown is a transaction as operators see it.
type shown struct {
	GID, State, Decision, OrderID string
	Branches                      []struct{ Name, State, LastError string }
}

// heuristics waits for n heuristic outcomes and returns them by gid.
func (s *shop) heuristics(n int) map[string]shown {
	s.t.Helper()
	var page struct{ Items []shown }
	s.eventually("the outcome is listed", func() bool {
		s.send(http.MethodGet, s.url+"/transactions?state=heuristic", "").want(s.t, http.StatusOK, "").read(s.t, &page)
		return len(page.Items) >= n
	})
	found := map[string]shown{}
	for _, item := range page.Items {
		found[item.GID] = item
	}
	return found
}

// reports checks a heuristic outcome: the decision, and what became of
// the branches, in the order books, orders.
func (h shown) reports(t *testing.T, decision, books, orders string) {
	t.Helper()
	if h.State != "heuristic" || h.Decision != decision || h.OrderID == "" || len(h.Branches) != 2 {
		t.Fatalf("shown as %+v", h)
	}
	followed := map[string]string{"commit": "committed", "abort": "aborted"}[decision]
	for i, want := range []string{books, orders} {
		b := h.Branches[i]
		if b.State != want || (b.LastError == "") != (want == followed) {
			t.Errorf("%s is shown as %+v, want %s", b.Name, b, want)
		}
	}
}

// byHand does what a person with a psql would.
func (s *shop) byHand(what string, tx twophase.Transaction) {
	s.t.Helper()
	s.exec(s.books, what+" '"+tx.GID+":books'")
}

func TestHeuristicOutcomesAreRecorded(t *testing.T) {
	t.Parallel()
	o := options{closed: true}
	s := open(t, o)
	books := [3]int64{s.book("A", 100, 5), s.book("B", 100, 5), s.book("C", 100, 5)}
	rolledBack := s.abandoned("rolled back by hand", books[0], true)
	committed := s.abandoned("committed by hand", books[1], false)
	aborted := s.abandoned("aborted by a message", books[2], true)
	s.byHand("ROLLBACK PREPARED", rolledBack)
	s.byHand("COMMIT PREPARED", committed)
	client := call.New(s.booksURL, call.Options{})
	defer client.Close()
	m := twophase.Message{GID: aborted.GID, Branch: "books", Branches: aborted.Branches, Deadline: aborted.Deadline}
	if err := txnhttp.NewParticipant(client).Abort(t.Context(), m); err != nil {
		t.Fatal(err)
	}

	s.begin("one", &o)
	found := s.heuristics(3)
	found[rolledBack.GID].reports(t, "commit", "lost", "committed")
	found[committed.GID].reports(t, "abort", "committed", "aborted")
	found[aborted.GID].reports(t, "commit", "aborted", "committed")
	if len(found) != 3 || s.prepared() != 0 {
		t.Errorf("%d listed, %d prepared", len(found), s.prepared())
	}
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "twopc_heuristic_total" && f.GetMetric()[0].GetCounter().GetValue() != 3 {
			t.Errorf("counted %v", f)
		}
	}
	s.eventually("those of the day are shown", func() bool { return s.gauge("twopc_heuristic_recent") == 3 })
	// They stay as they are: a participant that asks gets the decision.
	if a, b := s.ask(rolledBack.GID, "books"), s.ask(committed.GID, "books"); a.Decision != "commit" || b.Decision != "abort" {
		t.Errorf("answered %+v and %+v", a, b)
	}
	if n, err := testutil.GatherAndCount(s.metrics, "twopc_unfinished_oldest_seconds"); n != 1 || err != nil {
		t.Errorf("%d gauges, %v", n, err)
	}
}

func (s *shop) gauge(name string) float64 {
	s.t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

// The databases were restored without their prepared transactions.
func TestLostPreparedTransactionsAreAHeuristicOutcome(t *testing.T) {
	t.Parallel()
	o := options{closed: true}
	s := open(t, o)
	s.recovering()
	b := s.book("A", 100, 5)
	decided, undecided := s.abandoned("d", b, true), s.abandoned("u", s.book("B", 100, 5), false)
	s.byHand("ROLLBACK PREPARED", decided)
	s.exec(s.orders, "ROLLBACK PREPARED '"+decided.GID+":orders'")
	s.byHand("ROLLBACK PREPARED", undecided)
	s.begin("one", &o)
	s.heuristics(1)[decided.GID].reports(t, "commit", "lost", "lost")
	s.finished() // what was not decided is aborted anyway: that it is gone makes no difference
	tx, err := s.service.Transactions.Transaction(t.Context(), undecided.GID)
	if err != nil || tx.State != twophase.Aborted || s.stock(b) != 5 {
		t.Errorf("%+v, %v, stock %d", tx, err, s.stock(b))
	}
}
