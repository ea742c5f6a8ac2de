package checkout_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"bookstore/services/checkout"
	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
	"bookstore/services/txn/txnhttp"
	"bookstore/services/txn/txnpg"
)

// abandoned leaves an attempt behind as a coordinator does that dies: both
// branches prepared, and the decision made or not.
func (s *shop) abandoned(key string, book int64, decided bool) twophase.Transaction {
	s.t.Helper()
	ctx := s.t.Context()
	store := txnpg.New(s.transactions, twophase.DefaultSettings("dead"))
	orderID := fmt.Sprintf("01890000-0000-7000-8000-%012d", book)
	tx, mine, err := store.Claim(ctx, twophase.Claim{
		Kind: checkout.KindPlace, Caller: "customer:dead", Key: s.key(key), RequestHash: []byte{1},
		Branches: []string{"books", "orders"}, Payload: []byte(`{"orderId":"` + orderID + `"}`),
	}, 1, "dead")
	if err != nil || !mine {
		s.t.Fatalf("claim: %v, %v", mine, err)
	}
	payloads := map[string]any{
		"books": map[string]any{"action": "reserve", "orderId": orderID, "lines": []map[string]any{{"bookId": book, "quantity": 1, "unitPriceCents": 100}}},
		"orders": map[string]any{"action": "place", "order": map[string]any{
			"id": orderID, "customerId": "dead", "totalCents": 100, "currency": "EUR", "createdAt": time.Now().UTC(),
			"items": []map[string]any{{"bookId": book, "title": "A", "quantity": 1, "unitPriceCents": 100}},
		}},
	}
	for name, url := range map[string]string{"books": s.booksURL, "orders": s.ordersURL} {
		client := call.New(url, call.Options{})
		m := twophase.Message{GID: tx.GID, Branch: name, Branches: tx.Branches, Deadline: tx.Deadline}
		if err := txnhttp.NewParticipant(client).Prepare(ctx, m, payloads[name]); err != nil {
			s.t.Fatalf("prepare %s: %v", name, err)
		}
		client.Close()
	}
	if decided {
		outcome := &twophase.Outcome{Status: http.StatusCreated, Body: []byte(`{"id":"` + orderID + `"}`)}
		if _, _, err := store.Decide(ctx, tx.GID, "dead", twophase.Decision{State: twophase.Committing, Outcome: outcome}); err != nil {
			s.t.Fatal(err)
		}
	}
	return tx
}

func TestWhatADeadCoordinatorLeftIsFinished(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	undecidedBook, decidedBook := s.book("undecided", 100, 5), s.book("decided", 100, 5)
	undecided, decided := s.abandoned("u", undecidedBook, false), s.abandoned("d", decidedBook, true)
	s.finished()
	for gid, want := range map[string]twophase.State{undecided.GID: twophase.Aborted, decided.GID: twophase.Committed} {
		tx, err := s.service.Transactions.Transaction(t.Context(), gid)
		if err != nil || tx.State != want || tx.Owner != "one" {
			t.Errorf("%+v, %v; want %s", tx, err, want)
		}
	}
	if s.stock(undecidedBook) != 5 || s.stock(decidedBook) != 4 || s.number(s.orders, "SELECT count(*) FROM orders") != 1 {
		t.Errorf("stock %d and %d", s.stock(undecidedBook), s.stock(decidedBook))
	}
}

func TestTwoCoordinatorsShareWhatADeadOneLeft(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	s.coordinator("two", &options{})
	for i := range 8 {
		s.abandoned(fmt.Sprint("k", i), s.book(fmt.Sprint("book ", i), 100, 1), i%2 == 0)
	}
	s.finished()
	if n := s.number(s.orders, "SELECT count(*) FROM orders"); n != 4 {
		t.Errorf("%d orders of 4", n)
	}
}

func TestAStoppingCoordinatorLeavesWhatItCannotFinishToTheOthers(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	leaving := s.coordinator("leaving", &options{books: faults{commit: func(twophase.Message) error {
		return fault.New(fault.Unavailable, "")
	}}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := leaving.PlaceOrder(ctx, checkout.PlaceOrder{Key: s.key("k"), Request: checkout.OrderRequest{
		CustomerID: "c-1", Items: []checkout.RequestItem{{BookID: b, Quantity: 1}},
	}})
	if fault.KindOf(err) != fault.OutcomeUnknown {
		t.Errorf("answered %v", err)
	}
	limit, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if err := leaving.Transactions.Stop(limit); err != nil {
		t.Error(err)
	}
	s.finished()
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	tx, err := s.service.Transactions.Transaction(t.Context(), s.gid("k"))
	if err != nil || tx.Owner != "one" || s.stock(b) != 4 {
		t.Errorf("%+v, %v, stock %d", tx, err, s.stock(b))
	}
}

func TestAnAttemptLongerThanItsLeaseKeepsIt(t *testing.T) {
	t.Parallel()
	var s *shop
	wait := func(m twophase.Message) error {
		// Until the first lease would have lapsed, were it not renewed.
		s.eventually("the lease was renewed", func() bool {
			return s.number(s.transactions, "SELECT count(*) FROM transactions WHERE gid = $1 AND lease_until > created_at + interval '1300 ms'", m.GID) == 1
		})
		return nil
	}
	s = open(t, options{books: faults{prepare: wait}})
	s.coordinator("two", &options{})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	s.finished()
	if n := s.number(s.transactions, "SELECT count(*) FROM transactions"); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

func TestTransactionsForOperators(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 3)
	for i := range 3 {
		s.buy(fmt.Sprint("k", i), b, 1).want(t, http.StatusCreated, "")
	}
	s.buy("k3", b, 1).want(t, http.StatusConflict, "out_of_stock")
	s.finished()

	type transaction struct {
		GID, Kind, State, Owner, OrderID string
		Branches                         []struct{ Name, State string }
	}
	var page struct {
		Items      []transaction
		NextCursor string
	}
	s.send(http.MethodGet, s.url+"/transactions?state=committed&limit=2", "").want(t, http.StatusOK, "").read(t, &page)
	if len(page.Items) != 2 || page.NextCursor == "" || page.Items[0].GID != s.gid("k2") {
		t.Fatalf("first page %+v", page)
	}
	one := page.Items[0]
	if one.Kind != "place_order" || one.Owner != "one" || len(one.Branches) != 2 || one.Branches[0].Name != "books" || one.Branches[0].State != "committed" {
		t.Errorf("shown as %+v", one)
	}
	cursor := page.NextCursor
	page.NextCursor = ""
	s.send(http.MethodGet, s.url+"/transactions?state=committed&limit=2&cursor="+cursor, "").want(t, http.StatusOK, "").read(t, &page)
	if len(page.Items) != 1 || page.NextCursor != "" {
		t.Errorf("last page %+v", page)
	}
	var single transaction
	s.send(http.MethodGet, s.url+"/transactions/"+s.gid("k3"), "").want(t, http.StatusOK, "").read(t, &single)
	if single.State != "aborted" || single.Branches[1].State != "aborted" {
		t.Errorf("the refused one is %+v", single)
	}
	s.send(http.MethodGet, s.url+"/transactions/none", "").want(t, http.StatusNotFound, "transaction_not_found")
	s.send(http.MethodGet, s.url+"/transactions?state=odd", "").want(t, http.StatusUnprocessableEntity, "invalid_field")
	s.send(http.MethodGet, s.url+"/transactions?colour=red", "").want(t, http.StatusBadRequest, "unexpected_parameter")
	s.send(http.MethodGet, s.url+"/transactions?cursor=x", "").want(t, http.StatusUnprocessableEntity, "invalid_field")
}
