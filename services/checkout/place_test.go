package checkout_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/saga"
	"bookstore/services/txn/twophase"
)

func TestAnOrderIsPlacedInBothDatabases(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	a, b := s.book("A", 1999, 5), s.book("B", 501, 3)
	got := s.order("k", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":2},{"bookId":%d,"quantity":1}]}`, b, a)).want(t, http.StatusCreated, "")
	var o checkout.Order
	got.read(t, &o)
	if o.Status != "placed" || o.TotalCents != 2*501+1999 || o.Currency != "EUR" || o.CustomerID != "c-1" || o.Version != 1 || len(o.Items) != 2 || o.Items[0].Title != "B" {
		t.Errorf("placed %+v", o)
	}
	if got.header.Get("Location") != "/orders/"+o.ID || o.ID[14] != '7' {
		t.Errorf("the order %s is at %q", o.ID, got.header.Get("Location"))
	}
	read := s.send(http.MethodGet, s.ordersURL+"/orders/"+o.ID, "").want(t, http.StatusOK, "")
	if read.text != got.text {
		t.Errorf("answered %s\nstored   %s", got.text, read.text)
	}
	s.finished()
	if s.stock(a) != 4 || s.stock(b) != 1 {
		t.Errorf("stock %d and %d", s.stock(a), s.stock(b))
	}
	if n := s.number(s.books, "SELECT count(*) FROM stock_movements WHERE cause = 'order' AND gid = $1", s.gid("k")); n != 2 {
		t.Errorf("%d movements name the gid", n)
	}
}

func TestARefusedOrderChangesNothingAndStaysRefused(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	few, gone := s.book("few", 100, 1), s.book("gone", 100, 9)
	s.send(http.MethodDelete, fmt.Sprintf("%s/books/%d", s.booksURL, gone), "")
	yen := s.book("yen", 100, 9)
	s.exec(s.books, "UPDATE books SET currency = 'JPY' WHERE id = $1", yen)
	both := fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1},{"bookId":%d,"quantity":1}]}`, few, yen)
	cases := []struct {
		name   string
		body   string
		status int
		code   string
		names  string
	}{
		{"too few", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":2}]}`, few), 409, "out_of_stock", `"available":1`},
		{"gone", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1}]}`, gone), 410, "book_gone", ""},
		{"unknown", `{"customerId":"c-1","items":[{"bookId":999,"quantity":1}]}`, 422, "book_not_found", "items[0].bookId"},
		{"two currencies", both, 422, "mixed_currencies", "items[1].bookId"},
	}
	for _, c := range cases {
		first := s.order(c.name[:3], c.body).want(t, c.status, c.code)
		if !strings.Contains(first.text, c.names) {
			t.Errorf("%s: %s does not name %s", c.name, first.text, c.names)
		}
		s.exec(s.books, "UPDATE stock SET quantity = quantity + 0")
		again := s.order(c.name[:3], c.body, "X-Request-Id", "second").want(t, c.status, c.code)
		if again.header.Get("Idempotent-Replayed") != "true" || !strings.Contains(again.text, `"requestId":"second"`) {
			t.Errorf("%s: replayed as %v %s", c.name, again.header, again.text)
		}
	}
	s.finished()
	if n := s.number(s.orders, "SELECT count(*) FROM orders"); n != 0 {
		t.Errorf("%d orders were stored", n)
	}
}

// A customer who names a price pays that price or buys nothing.
func TestANamedPriceIsPaidOrNothingIsBought(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	a, b := s.book("A", 1000, 5), s.book("B", 500, 5)
	at := func(priceA, priceB string) string {
		return fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1,"unitPriceCents":%s},{"bookId":%d,"quantity":1,"unitPriceCents":%s}]}`, a, priceA, b, priceB)
	}
	s.order("shown", at("1000", "500")).want(t, http.StatusCreated, "")
	s.exec(s.books, "UPDATE books SET price_cents = 9999 WHERE id = $1", a)
	refused := s.order("old", at("1000", "500")).want(t, http.StatusConflict, "price_changed")
	if want := fmt.Sprintf(`"books":[{"bookId":%d,"unitPriceCents":9999}]`, a); !strings.Contains(refused.text, want) || !strings.Contains(refused.text, `"items[0].unitPriceCents"`) || !strings.Contains(refused.text, "9999 now, not 1000") {
		t.Errorf("the refusal does not name the current price: %s", refused.text)
	}
	if n := s.number(s.transactions, "SELECT count(*) FROM transactions WHERE idempotency_key = $1", s.key("old")); n != 1 {
		t.Errorf("%d attempts were made at a price that was not met", n)
	}
	again := s.order("old", at("1000", "500")).want(t, http.StatusConflict, "price_changed")
	if again.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the refusal is not bound to its key")
	}
	s.order("new", at("9999", "null")).want(t, http.StatusCreated, "")
	s.order("unnamed", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1}]}`, a)).want(t, http.StatusCreated, "")
	for _, bad := range []string{"-1", "100000001"} {
		s.order("bad", at(bad, "500")).want(t, http.StatusUnprocessableEntity, "invalid_field")
	}
	s.finished()
	if s.stock(a) != 2 || s.stock(b) != 3 {
		t.Errorf("stock %d and %d", s.stock(a), s.stock(b))
	}
}

// A price that moves after it was compared is compared again before anything is sold at it.
func TestANamedPriceHoldsUntilTheBranchIsPrepared(t *testing.T) {
	t.Parallel()
	var s *shop
	var once sync.Once
	var a int64
	s = open(t, options{books: faults{prepare: func(twophase.Message) error {
		once.Do(func() { s.exec(s.books, "UPDATE books SET price_cents = 9999 WHERE id = $1", a) })
		return nil
	}}})
	a = s.book("A", 1000, 5)
	s.order("k", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1,"unitPriceCents":1000}]}`, a)).want(t, http.StatusConflict, "price_changed")
	s.finished()
	if s.stock(a) != 5 {
		t.Errorf("stock %d", s.stock(a))
	}
}

func TestBadOrdersAreRefusedBeforeAnythingHappens(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	good := fmt.Sprintf(`{"customerId":"c","items":[{"bookId":%d,"quantity":1}]}`, b)
	cases := []struct {
		key, body string
		status    int
		code      string
		field     string
	}{
		{"", good, 400, "idempotency_key_required", ""},
		{"ü", good, 422, "invalid_field", "Idempotency-Key"},
		{"k", `{`, 400, "malformed_request", ""},
		{"k", `{"customerId":"c","items":[{"bookId":"1","quantity":1}]}`, 400, "malformed_request", "items[0].bookId"},
		{"k", `{"customerId":"c","items":[{"bookId":1,"quantity":1,"price":0}]}`, 400, "malformed_request", "items[0].price"},
		{"k", `{"customerId":"a\u0000","items":[]}`, 400, "malformed_request", "customerId"},
		{"k", `{"customerId":"c","items":[{"bookId":1,"quantity":0}]}`, 422, "invalid_field", "items[0].quantity"},
		{"k", `{"customerId":"c","items":[{"bookId":1,"quantity":1},{"bookId":1,"quantity":1}]}`, 422, "invalid_field", "items[1].bookId"},
	}
	for _, c := range cases {
		headers := []string{}
		if c.key != "" {
			headers = append(headers, "Idempotency-Key", c.key)
		}
		a := s.send(http.MethodPost, s.url+"/orders", c.body, headers...).want(t, c.status, c.code)
		if !strings.Contains(a.text, `"field":"`+c.field) {
			if c.field != "" {
				t.Errorf("%s does not name %s", a.text, c.field)
			}
		}
	}
	if n := s.number(s.transactions, "SELECT count(*) FROM transactions"); n != 0 {
		t.Errorf("%d transactions were begun", n)
	}
}

func TestAReplayIsTheSameAnswer(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	first := s.buy("k", b, 2).want(t, http.StatusCreated, "")
	again := s.buy("k", b, 2).want(t, http.StatusCreated, "")
	if again.text != first.text || again.header.Get("Location") != first.header.Get("Location") || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("first %s, again %s %v", first.text, again.text, again.header)
	}
	if first.header.Get("Idempotent-Replayed") != "" {
		t.Error("the first answer calls itself a replay")
	}
	s.buy("k", b, 1).want(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	other := s.order("k", fmt.Sprintf(`{"customerId":"c-2","items":[{"bookId":%d,"quantity":1}]}`, b)).want(t, http.StatusCreated, "")
	if other.text == first.text {
		t.Error("another customer was answered with this one's order")
	}
	s.order("k", fmt.Sprintf(`{"customerId":"c-2","items":[{"bookId":%d,"quantity":1}]}`, b), "X-Caller", "token:bench").want(t, http.StatusCreated, "")
	s.finished()
	if s.stock(b) != 1 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func TestTheSameRequestTwentyTimesAtOnceIsOneOrder(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 50)
	answers := make([]answer, 20)
	var sending sync.WaitGroup
	for i := range answers {
		sending.Go(func() { answers[i] = s.buy("k", b, 1) })
	}
	sending.Wait()
	first := 0
	for _, a := range answers {
		a.want(t, http.StatusCreated, "")
		if a.text != answers[0].text {
			t.Errorf("%s differs from %s", a.text, answers[0].text)
		}
		if a.header.Get("Idempotent-Replayed") == "" {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d of them call themselves the first", first)
	}
	s.finished()
	if s.stock(b) != 49 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func TestManyBuyersFewCopies(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	const buyers, copies = 40, 11
	b := s.book("A", 100, copies)
	var sold, refused atomic.Int64
	var buying sync.WaitGroup
	for i := range buyers {
		buying.Go(func() {
			switch a := s.buy(fmt.Sprint("buyer-", i), b, 1); a.code() {
			case "":
				sold.Add(1)
			case "out_of_stock":
				refused.Add(1)
			default:
				t.Errorf("buyer %d: %d %s", i, a.status, a.text)
			}
		})
	}
	buying.Wait()
	s.finished()
	if sold.Load() != copies || refused.Load() != buyers-copies || s.stock(b) != 0 {
		t.Errorf("%d sold, %d refused, %d left", sold.Load(), refused.Load(), s.stock(b))
	}
}

func TestAPriceThatMovesMeanwhileIsTheOrdersPrice(t *testing.T) {
	t.Parallel()
	var once sync.Once
	var s *shop
	var b int64
	raise := func(twophase.Message) error {
		once.Do(func() { s.exec(s.books, "UPDATE books SET price_cents = 777 WHERE id = $1", b) })
		return nil
	}
	s = open(t, options{books: faults{prepare: raise}})
	b = s.book("A", 100, 5)
	a := s.buy("k", b, 2).want(t, http.StatusCreated, "")
	var o checkout.Order
	a.read(t, &o)
	if o.TotalCents != 2*777 {
		t.Errorf("ordered at %d", o.TotalCents)
	}
	s.finished()
	if n := s.number(s.transactions, "SELECT max(attempt) FROM transactions"); n != 2 {
		t.Errorf("%d attempts", n)
	}
	if replay := s.buy("k", b, 2); replay.text != a.text {
		t.Errorf("replayed %s", replay.text)
	}
}

func TestAPriceThatKeepsChangingIsRefusedAfterThreeAttempts(t *testing.T) {
	t.Parallel()
	var s *shop
	var b int64
	raise := func(twophase.Message) error {
		s.exec(s.books, "UPDATE books SET price_cents = price_cents + 1 WHERE id = $1", b)
		return nil
	}
	s = open(t, options{books: faults{prepare: raise}})
	b = s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusConflict, "price_changed")
	s.finished()
	if n := s.number(s.transactions, "SELECT max(attempt) FROM transactions"); n != 3 || s.stock(b) != 5 {
		t.Errorf("%d attempts, stock %d", n, s.stock(b))
	}
	if n := s.number(s.transactions, "SELECT count(outcome_status) FROM transactions"); n != 0 {
		t.Errorf("the key was bound to a price that moved")
	}
}

func TestABranchThatCannotBeReachedLeavesTheKeyFree(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	away.Store(true)
	s := open(t, options{orders: faults{prepare: func(twophase.Message) error {
		if away.Load() {
			return fault.New(fault.Unavailable, "")
		}
		return nil
	}}})
	b := s.book("A", 100, 5)
	a := s.buy("k", b, 1).want(t, http.StatusServiceUnavailable, "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.finished()
	if s.stock(b) != 5 {
		t.Errorf("stock %d", s.stock(b))
	}
	away.Store(false)
	s.buy("k", b, 1).want(t, http.StatusCreated, "")
	s.finished()
}

func TestAnAttemptPastItsDeadlineIsAborted(t *testing.T) {
	t.Parallel()
	var s *shop
	expire := func(m twophase.Message) error {
		s.exec(s.transactions, "UPDATE transactions SET deadline = now() WHERE gid = $1", m.GID)
		return nil
	}
	s = open(t, options{orders: faults{prepare: expire}})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusGatewayTimeout, "deadline_exceeded")
	s.finished()
	if s.stock(b) != 5 || s.number(s.orders, "SELECT count(*) FROM orders") != 0 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func TestADecidedOrderIsFinishedWhateverTheBranchDoes(t *testing.T) {
	t.Parallel()
	var stuck atomic.Bool
	stuck.Store(true)
	s := open(t, options{deadline: time.Second, books: faults{commit: func(twophase.Message) error {
		if stuck.Load() {
			return fault.New(fault.Unavailable, "")
		}
		return nil
	}}})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusServiceUnavailable, "outcome_unknown")
	s.buy("k", b, 1).want(t, http.StatusConflict, "in_progress")
	stuck.Store(false)
	s.eventually("the same key is answered", func() bool { return s.buy("k", b, 1).status == http.StatusCreated })
	s.finished()
	if s.stock(b) != 4 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func TestALostBranchIsAHeuristicOutcome(t *testing.T) {
	t.Parallel()
	var s *shop
	lose := func(m twophase.Message) error {
		s.exec(s.books, "ROLLBACK PREPARED '"+m.GID+":books'")
		return nil
	}
	s = open(t, options{books: faults{commit: lose}})
	b := s.book("A", 100, 5)
	s.buy("k", b, 1).want(t, http.StatusServiceUnavailable, "outcome_unknown")
	gid := s.gid("k")
	s.eventually("the outcome is recorded", func() bool {
		tx, err := s.service.Transactions.Transaction(t.Context(), gid)
		return err == nil && tx.State == twophase.Heuristic && tx.BranchState("books") == "lost" && tx.BranchState("orders") == "committed"
	})
	s.buy("k", b, 1).want(t, http.StatusServiceUnavailable, "outcome_unknown")
}

// A book's id above 2^53, which no float64 holds, comes out of every refusal as
// it went in: first answered, replayed under its key with the request id of the
// request that repeats it, and shown as the error of a saga.
func TestRefusalsKeepLargeIDsAndCarryTheirOwnRequestID(t *testing.T) {
	t.Parallel()
	const large = 9007199254740993
	s := open(t, options{})
	s.exec(s.books, fmt.Sprintf("ALTER TABLE books ALTER COLUMN id RESTART WITH %d", large))
	if b := s.book("A", 9999, 1); b != large {
		t.Fatalf("the book is %d", b)
	}
	book := fmt.Sprintf(`"bookId":%d`, int64(large))
	const payment = `,"payment":{"method":"card","token":"tok_ok"}`
	for _, c := range []struct {
		name, path, item, rest, code, details string
	}{
		{"sold-out", "/orders", `"quantity":2`, "", "out_of_stock", `"books":[{"available":1,` + book + `}]`},
		{"order", "/orders", `"quantity":1,"unitPriceCents":1`, "", "price_changed", `"books":[{` + book + `,"unitPriceCents":9999}]`},
		{"checkout", "/checkouts", `"quantity":1,"unitPriceCents":1`, payment, "price_changed", `"books":[{` + book + `,"unitPriceCents":9999}]`},
	} {
		for _, request := range []string{"first", "second"} {
			a := s.send(http.MethodPost, s.url+c.path, `{"customerId":"c-1","items":[{`+book+`,`+c.item+`}]`+c.rest+`}`,
				"Idempotency-Key", s.key(c.name), "X-Request-Id", request).want(t, http.StatusConflict, c.code)
			if replayed := a.header.Get("Idempotent-Replayed") == "true"; replayed != (request == "second") ||
				!strings.Contains(a.text, `"requestId":"`+request+`"`) || !strings.Contains(a.text, c.details) {
				t.Errorf("%s, %s: replayed: %v, %s does not name %s", c.name, request, replayed, a.text, c.details)
			}
		}
	}
	begun := s.send(http.MethodPost, s.url+"/checkouts", `{"customerId":"c-1","items":[{`+book+`,"quantity":2}]`+payment+`}`,
		"Idempotency-Key", s.key("failing")).want(t, http.StatusAccepted, "")
	v := s.ended(begun.header.Get("Location"))
	text := s.send(http.MethodGet, s.url+begun.header.Get("Location"), "").want(t, http.StatusOK, "").text
	if want := `"details":{"books":[{"available":1,` + book + `}]}`; v.State != saga.Failed || strings.Count(text, want) != 2 {
		t.Errorf("the checkout and its step do not both name %s: %s", want, text)
	}
	s.finished()
	s.sagasFinished()
}
