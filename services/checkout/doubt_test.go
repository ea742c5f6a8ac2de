package checkout_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"bookstore/services/checkout"
	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/lifecycle"
	"bookstore/services/txn/participant"
	"bookstore/services/txn/participant/participanthttp"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
	"bookstore/services/txn/txnpg"
)

// doubtLimit is the promise: doubt is over this long after a coordinator died,
// or after there is one again.
const doubtLimit = 3 * time.Second

// recovering starts the recovery of both participants, as the services do.
func (s *shop) recovering() {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.t.Output(), nil))
	for name, pool := range map[string]*pgxpool.Pool{"books": s.books, "orders": s.orders} {
		client := call.New(s.url, call.Options{Destination: "coordinator"})
		recovery := participant.NewRecovery(participant.New(pool, name, log, nil), participanthttp.NewCoordinator(client), nil)
		part := lifecycle.Every("recover branches", participant.ScanEvery, log, recovery.Round)
		if err := part.Start(context.Background()); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			if err := part.Stop(context.Background()); err != nil {
				s.t.Error(err)
			}
			client.Close()
		})
	}
}

const (
	allPrepared = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"
	inDoubt     = allPrepared + " AND prepared < clock_timestamp() - interval '3 s'"
)

func (s *shop) prepared() int64 {
	s.t.Helper()
	return s.number(s.books, allPrepared) + s.number(s.orders, allPrepared)
}

// within fails the test unless the condition comes to hold in time.
func (s *shop) within(limit time.Duration, what string, holds func() bool) {
	s.t.Helper()
	began := time.Now()
	s.eventually(what, holds)
	if took := time.Since(began); took > limit {
		s.t.Errorf("%s after %s, not within %s", what, took, limit)
	}
}

func TestDoubtLastsUntilACoordinatorIsBack(t *testing.T) {
	t.Parallel()
	o := options{closed: true}
	s := open(t, o)
	s.recovering()
	committed, aborted := s.book("committed", 100, 5), s.book("aborted", 100, 5)
	s.abandoned("c", committed, true)
	s.abandoned("a", aborted, false)
	s.eventually("every branch has been in doubt for a while", func() bool {
		return s.number(s.books, inDoubt)+s.number(s.orders, inDoubt) == 4
	})
	s.begin("back", &o)
	s.within(doubtLimit, "no branch is in doubt", func() bool { return s.prepared() == 0 })
	s.finished()
	if s.stock(committed) != 4 || s.stock(aborted) != 5 {
		t.Errorf("stock %d and %d", s.stock(committed), s.stock(aborted))
	}
}

// The attempt was aborted before any branch was asked, and is finished: no
// coordinator will take it up again. Then a late prepare of it arrives.
func TestALatePrepareOfAFinishedAbortEndsByItself(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	s.recovering()
	b := s.book("A", 100, 5)
	store := txnpg.New(s.transactions, twophase.DefaultSettings("other"))
	tx, _, err := store.Claim(t.Context(), twophase.Claim{
		Kind: checkout.KindPlace, Caller: "customer:other", Key: s.key("k"), RequestHash: []byte{1}, Branches: []string{"books", "orders"},
	}, 1, "other")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Decide(t.Context(), tx.GID, "other", twophase.Decision{State: twophase.Aborted, Unsent: true}); err != nil {
		t.Fatal(err)
	}
	client := call.New(s.booksURL, call.Options{})
	defer client.Close()
	late := txnhttp.NewParticipant(client)
	m := twophase.Message{GID: tx.GID, Branch: "books", Branches: tx.Branches, Deadline: tx.Deadline}
	payload := map[string]any{"action": "reserve", "orderId": newOrderID(t), "lines": []map[string]any{{"bookId": b, "quantity": 1, "unitPriceCents": 100}}}
	if err := late.Prepare(t.Context(), m, payload); err != nil {
		t.Fatal(err)
	}
	s.within(doubtLimit, "the branch is gone", func() bool { return s.prepared() == 0 })
	if err := late.Prepare(t.Context(), m, payload); fault.KindOf(err) != fault.Aborted {
		t.Errorf("prepared again: %v", err)
	}
	s.finished()
	if s.stock(b) != 5 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func newOrderID(t *testing.T) string {
	t.Helper()
	id, err := newID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// The coordinator is alive, but none of its calls reaches the books service, which
// learns the decision by asking.
func TestABranchThatIsOutOfReachAsks(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	cut.Store(true)
	s := open(t, options{deadline: time.Second, books: faults{commit: func(twophase.Message) error {
		if cut.Load() {
			return fault.New(fault.Unavailable, "")
		}
		return nil
	}}})
	s.recovering()
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusServiceUnavailable, "outcome_unknown")
	s.within(doubtLimit, "the copy is sold", func() bool { return s.stock(b) == 4 })
	if tx, err := s.service.Transactions.Transaction(t.Context(), s.gid("k")); err != nil || tx.State != twophase.Committing {
		t.Errorf("%+v, %v", tx, err)
	}
	cut.Store(false)
	s.finished()
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
}

// A branch is not taken from an owner that is alive, however long it takes.
func TestABranchOfALivingAttemptIsLeftAlone(t *testing.T) {
	t.Parallel()
	var s *shop
	slow := func(m twophase.Message) error {
		s.eventually("the books branch has asked and heard that the attempt is pending", func() bool {
			return s.number(s.books, "SELECT count(*) FROM pg_prepared_xacts WHERE gid = $1 AND prepared < clock_timestamp() - interval '1900 ms'", m.GID+":books") == 1
		})
		return nil
	}
	s = open(t, options{orders: faults{prepare: slow}})
	s.recovering()
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	s.finished()
	if n := s.number(s.transactions, "SELECT count(*) FROM transactions"); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

type answerToAsk struct {
	Decision string
	Branches []string
	Deadline time.Time
}

func (s *shop) ask(gid, name string) (a answerToAsk) {
	s.t.Helper()
	s.send(http.MethodPost, s.url+"/internal/transactions/"+gid+"/ask", `{"branch":"`+name+`"}`).want(s.t, http.StatusOK, "").read(s.t, &a)
	return a
}

func TestAskingOverHTTP(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	if a := s.ask(s.gid("k"), "books"); a.Decision != "commit" || len(a.Branches) != 2 || a.Deadline.IsZero() {
		t.Errorf("answered %+v", a)
	}
	s.buy("none", b, 9).want(t, http.StatusConflict, "out_of_stock")
	if a := s.ask(s.gid("none"), "orders"); a.Decision != "abort" || len(a.Branches) != 2 {
		t.Errorf("answered %+v", a)
	}
	pending := s.abandoned("p", b, false)
	if a := s.ask(pending.GID, "books"); a.Decision == "commit" {
		t.Errorf("answered %+v", a)
	}
	s.eventually("the answer is abort", func() bool { return s.ask(pending.GID, "books").Decision == "abort" })
	for path, body := range map[string]string{
		"a/ask": `{"branch":"Books"}`, "NO/ask": `{"branch":"books"}`, "b/ask": `{"branch":""}`,
	} {
		s.send(http.MethodPost, s.url+"/internal/transactions/"+path, body).want(t, http.StatusUnprocessableEntity, "invalid_field")
	}
	s.send(http.MethodPost, s.url+"/internal/transactions/a/ask", `{"branch":"books","x":1}`).want(t, http.StatusBadRequest, "malformed_request")
	s.finished()
}

// A participant asked about a gid that was not on record, and it was aborted. A request
// with the key that makes this gid gets the next one.
func TestAKeyWhoseGIDWasAskedAboutIsServed(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	for i := 1; i <= 2; i++ {
		if a := s.ask(s.gid(fmt.Sprint("k", i)), "books"); a.Decision != "abort" || time.Until(a.Deadline) < 59*time.Minute {
			t.Errorf("answered %+v", a)
		}
	}
	s.buy("k1", b, 1).want(t, http.StatusCreated, "")
	first := s.buy("k2", b, 1).want(t, http.StatusCreated, "")
	if again := s.buy("k2", b, 1).want(t, http.StatusCreated, ""); again.text != first.text {
		t.Errorf("replayed %s", again.text)
	}
	s.finished()
	if s.stock(b) != 3 {
		t.Errorf("stock %d", s.stock(b))
	}
}
