package checkout_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bookstore/services/checkout"
	"bookstore/services/txn/saga"
)

// checkout begins a checkout of one book; extra is more JSON.
func (s *shop) checkout(key string, book, quantity int64, token, extra string) answer {
	s.t.Helper()
	body := fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":%d}],"payment":{"method":"card","token":%q}%s}`,
		book, quantity, token, extra)
	return s.send(http.MethodPost, s.url+"/checkouts", body, "Idempotency-Key", s.key(key))
}

const withApproval = `,"requiresApproval":true`

// ended waits for a saga to be over and returns it.
func (s *shop) ended(location string) (v checkout.SagaView) {
	s.t.Helper()
	s.eventually(location+" is over", func() bool {
		v = s.view(location)
		return v.State.Final()
	})
	return v
}

func (s *shop) view(location string) (v checkout.SagaView) {
	s.t.Helper()
	v = checkout.SagaView{}
	s.send(http.MethodGet, s.url+location, "").want(s.t, http.StatusOK, "").read(s.t, &v)
	return v
}

func (s *shop) waitFor(location string, state saga.State) {
	s.t.Helper()
	s.eventually(fmt.Sprint(location, " is ", state), func() bool { return s.view(location).State == state })
}

func states(v checkout.SagaView) string {
	var out []string
	for _, step := range v.Steps {
		out = append(out, step.Name+"="+string(step.State))
	}
	return strings.Join(out, " ")
}

// sagasFinished waits until no saga is under way, and checks what holds then.
func (s *shop) sagasFinished() {
	s.t.Helper()
	s.eventually("every saga is over", func() bool {
		return s.number(s.transactions, "SELECT count(*) FROM sagas WHERE wake_at IS NOT NULL") == 0
	})
	if n := s.number(s.books, `SELECT count(*) FROM stock s WHERE quantity <>
		(SELECT coalesce(sum(delta), 0) FROM stock_movements m WHERE m.book_id = s.book_id)`); n != 0 {
		s.t.Errorf("the stock of %d books is not the sum of its movements", n)
	}
	sold := s.number(s.orders, `SELECT coalesce(sum(quantity), 0) FROM order_items JOIN orders ON orders.id = order_id WHERE status = 'paid'`)
	moved := s.number(s.books, `SELECT coalesce(-sum(delta), 0) FROM stock_movements WHERE cause IN ('checkout', 'release', 'return')`)
	if sold != moved {
		s.t.Errorf("%d copies are in paid orders, %d have left the stock", sold, moved)
	}
	if n := s.number(s.payments, "SELECT coalesce(sum(cents), 0) FROM ledger_entries"); n != 0 {
		s.t.Errorf("the ledger sums to %d", n)
	}
	held := s.number(s.payments, "SELECT count(*) FROM payments WHERE state = 'authorised'")
	captured := s.number(s.payments, "SELECT count(*) FROM payments WHERE state = 'captured'")
	if paid := s.number(s.orders, "SELECT count(*) FROM orders WHERE status = 'paid'"); held != 0 || captured != paid {
		s.t.Errorf("%d payments are held, %d captured for %d paid orders", held, captured, paid)
	}
}

func TestACheckoutEndsWithAPaidOrder(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 1250, 5)
	first := s.checkout("k", b, 2, "tok_ok", "").want(t, http.StatusAccepted, "")
	location := first.header.Get("Location")
	var v checkout.SagaView
	first.read(t, &v)
	if location != "/checkouts/"+v.ID || v.State != saga.Running || v.CustomerID != "c-1" || v.OrderID != "" {
		t.Errorf("answered %s at %s", first.text, location)
	}
	if strings.Contains(first.text, "tok_") {
		t.Error("the token is shown")
	}
	v = s.ended(location)
	if v.State != saga.Completed || v.OrderID == "" || v.Error != nil {
		t.Fatalf("ended %+v", v)
	}
	if got := states(v); got != "reserve_stock=done authorise=done capture=done create_order=done" {
		t.Error(got)
	}
	var o checkout.Order
	s.send(http.MethodGet, s.ordersURL+"/orders/"+v.OrderID, "").want(t, http.StatusOK, "").read(t, &o)
	if o.Status != "paid" || o.TotalCents != 2500 || len(o.Items) != 1 || s.stock(b) != 3 {
		t.Errorf("order %+v, stock %d", o, s.stock(b))
	}
	again := s.checkout("k", b, 2, "tok_ok", "").want(t, http.StatusAccepted, "")
	if again.text != first.text || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Location") != location {
		t.Errorf("replayed %v %s", again.header, again.text)
	}
	s.checkout("k", b, 1, "tok_ok", "").want(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	s.send(http.MethodPost, s.url+location+"/cancel", "").want(t, http.StatusConflict, "already_captured")
	s.cancel(v.OrderID).want(t, http.StatusConflict, "not_cancellable")
	s.sagasFinished()
}

func TestWhatCannotBePaidOrDeliveredChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	for token, want := range map[string]string{
		"tok_decline":         "reserve_stock=compensated authorise=refused capture=pending create_order=pending",
		"tok_decline_capture": "reserve_stock=compensated authorise=compensated capture=refused create_order=pending",
	} {
		v := s.ended(s.checkout(token, b, 1, token, "").header.Get("Location"))
		if v.State != saga.Failed || v.Error == nil || v.Error.Code != "payment_declined" || v.OrderID != "" || states(v) != want {
			t.Errorf("%s: %s %+v %s", token, v.State, v.Error, states(v))
		}
	}
	v := s.ended(s.checkout("many", b, 6, "tok_ok", "").header.Get("Location"))
	if v.State != saga.Failed || v.Error.Code != "out_of_stock" {
		t.Errorf("%s %+v", v.State, v.Error)
	}
	if s.stock(b) != 5 {
		t.Errorf("stock %d", s.stock(b))
	}
	s.sagasFinished()
}

// A refusal after the capture: the money goes back.
func TestAnOrderThatCannotBeStoredIsRefunded(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	s.exec(s.orders, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE unique_violation USING constraint = 'order_items_order_id_book_id_key'; END $$`)
	s.exec(s.orders, `CREATE TRIGGER refuse BEFORE INSERT ON order_items FOR EACH ROW EXECUTE FUNCTION refuse()`)
	v := s.ended(s.checkout("k", b, 1, "tok_ok", "").header.Get("Location"))
	if got := states(v); v.State != saga.Failed || got != "reserve_stock=compensated authorise=compensated capture=compensated create_order=refused" {
		t.Errorf("%s %s", v.State, got)
	}
	if n := s.number(s.payments, "SELECT count(*) FROM payments WHERE state = 'refunded'"); n != 1 || s.stock(b) != 5 {
		t.Errorf("%d refunds, stock %d", n, s.stock(b))
	}
	s.sagasFinished()
}

func TestDoubtfulPaymentsAreAskedAgainAndTakeEffectOnce(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 50)
	tokens := []string{"tok_late", "tok_fail_3", "tok_late_capture", "tok_fail_capture_2"}
	locations := make([]string, len(tokens))
	for i, token := range tokens {
		locations[i] = s.checkout(token, b, 1, token, "").want(t, http.StatusAccepted, "").header.Get("Location")
	}
	for i, location := range locations {
		if v := s.ended(location); v.State != saga.Completed {
			t.Errorf("%s: %s %s", tokens[i], v.State, states(v))
		}
	}
	s.sagasFinished()
}

func TestACheckoutWaitsForItsApproval(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	location := s.checkout("k", b, 1, "tok_ok", withApproval).header.Get("Location")
	s.waitFor(location, saga.WaitingApproval)
	if v := s.view(location); time.Until(v.Deadline) < 24*time.Hour {
		t.Errorf("waits only until %v", v.Deadline)
	}
	for range 2 {
		s.send(http.MethodPost, s.url+location+"/approve", "").want(t, http.StatusOK, "")
	}
	if v := s.ended(location); v.State != saga.Completed || !strings.Contains(states(v), "approval=done") {
		t.Errorf("%s %s", v.State, states(v))
	}
	location = s.checkout("no", b, 1, "tok_ok", withApproval).header.Get("Location")
	s.waitFor(location, saga.WaitingApproval)
	for range 2 {
		s.send(http.MethodPost, s.url+location+"/cancel", "").want(t, http.StatusOK, "")
	}
	if v := s.ended(location); v.State != saga.Cancelled || s.stock(b) != 4 {
		t.Errorf("%s, stock %d", v.State, s.stock(b))
	}
	s.sagasFinished()
}

// The authorisation never answers: the saga is undone although its outcome is
// unknown.
func TestADeadlineAndACancelEndWhatIsInDoubt(t *testing.T) {
	t.Parallel()
	s := open(t, options{checkouts: func(c *checkout.Settings) { c.CheckoutTime = 3 * time.Second }})
	b := s.book("A", 100, 5)
	late := s.checkout("late", b, 1, "tok_hang", "").header.Get("Location")
	cancelled := s.checkout("cancelled", b, 1, "tok_hang", "").header.Get("Location")
	s.eventually("the stock is reserved", func() bool { return s.stock(b) == 3 })
	s.send(http.MethodPost, s.url+cancelled+"/cancel", "").want(t, http.StatusOK, "")
	if v := s.ended(cancelled); v.State != saga.Cancelled {
		t.Errorf("%s %s", v.State, states(v))
	}
	if v := s.ended(late); v.State != saga.Failed || v.Error.Code != "deadline_exceeded" {
		t.Errorf("%s %+v %s", v.State, v.Error, states(v))
	}
	if s.stock(b) != 5 {
		t.Errorf("stock %d", s.stock(b))
	}
	s.sagasFinished()
}

func TestAReturnRefundsAndRestocksOnce(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	order := s.ended(s.checkout("k", b, 2, "tok_ok", "").header.Get("Location")).OrderID
	unpaid := s.placed("unpaid", b, 1)
	send := func(order, key string) answer {
		return s.send(http.MethodPost, s.url+"/orders/"+order+"/returns", "", "Idempotency-Key", s.key(key))
	}
	for range 2 {
		send(unpaid.ID, "r-unpaid").want(t, http.StatusConflict, "not_returnable")
	}
	s.send(http.MethodPost, s.url+"/orders/"+order+"/returns", "").want(t, http.StatusBadRequest, "idempotency_key_required")
	send("01890000-0000-7000-8000-000000000000", "r").want(t, http.StatusNotFound, "order_not_found")
	var mu sync.Mutex
	ends := map[saga.State]int{}
	var returning sync.WaitGroup
	for i := range 6 {
		returning.Go(func() {
			a := send(order, fmt.Sprint("r-", i))
			if a.status == http.StatusConflict { // it came after the first was through
				return
			}
			v := s.ended(a.want(t, http.StatusAccepted, "").header.Get("Location"))
			mu.Lock()
			defer mu.Unlock()
			ends[v.State]++
			if v.OrderID != order || v.CustomerID != "c-1" {
				t.Errorf("returned %+v", v)
			}
		})
	}
	returning.Wait()
	if ends[saga.Completed] != 1 {
		t.Errorf("ended %v", ends)
	}
	var o checkout.Order
	s.send(http.MethodGet, s.ordersURL+"/orders/"+order, "").read(t, &o)
	if o.Status != "returned" || s.stock(b) != 4 {
		t.Errorf("order %s, stock %d", o.Status, s.stock(b))
	}
	s.sagasFinished()
	s.finished()
}

// The engines of two coordinators share the work; one that dies leaves its
// sagas to the other.
func TestAnotherCoordinatorTakesOverSagas(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 500)
	other := s.coordinator("two", &options{})
	var locations []string
	for i := range 40 {
		locations = append(locations, s.checkout(fmt.Sprint(i), b, 1, "tok_ok", "").header.Get("Location"))
		if i == 20 {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // no patience: calls under way are cut
			if err := s.service.Sagas.Stop(ctx); err != nil {
				t.Error(err)
			}
		}
	}
	if other.Sagas == s.service.Sagas {
		t.Fatal("the two share an engine")
	}
	for _, location := range locations {
		if v := s.ended(location); v.State != saga.Completed {
			t.Errorf("%s %s", v.State, states(v))
		}
	}
	s.sagasFinished()
}

func TestACheckoutCanBeFollowed(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	location := s.checkout("k", b, 1, "tok_ok", withApproval).header.Get("Location")
	s.waitFor(location, saga.WaitingApproval)
	events := make(chan string, 100)
	go func() {
		defer close(events)
		s.stream(location, "", func(id string) { events <- id })
	}()
	<-events
	s.send(http.MethodPost, s.url+location+"/approve", "").want(t, http.StatusOK, "")
	ids := []string{"1"}
	for id := range events {
		ids = append(ids, id)
	}
	s.ended(location)
	var resumed []string
	s.stream(location, ids[2], func(id string) { resumed = append(resumed, id) })
	if len(ids) < 6 || !slices.Equal(resumed, ids[3:]) {
		t.Errorf("saw %v, and after %s %v", ids, ids[2], resumed)
	}
	if a := s.send(http.MethodGet, s.url+location+"/events", "", "Last-Event-ID", ids[len(ids)-1]); a.status != http.StatusNoContent {
		t.Errorf("after the last event: %d %s", a.status, a.text)
	}
	s.send(http.MethodGet, s.url+location+"/events", "", "Last-Event-ID", "x").want(t, http.StatusBadRequest, "malformed_request")
	s.send(http.MethodGet, s.url+"/checkouts/01890000-0000-7000-8000-000000000000/events", "").want(t, http.StatusNotFound, "not_found")
}

// stream reads a saga's events to their end.
func (s *shop) stream(location, after string, seen func(id string)) {
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+location+"/events", http.NoBody)
	if err != nil {
		s.t.Error(err)
		return
	}
	if after != "" {
		request.Header.Set("Last-Event-ID", after)
	}
	response, err := s.http.Do(request)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			seen(id)
		}
	}
}

func TestACheckoutAtANamedPriceBeginsOnlyAtThatPrice(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 9999, 5)
	post := func(key string, price int) answer {
		return s.send(http.MethodPost, s.url+"/checkouts", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1,"unitPriceCents":%d}],
			"payment":{"method":"card","token":"tok_ok"}}`, b, price), "Idempotency-Key", s.key(key))
	}
	for i := range 2 {
		a := post("old", 1000).want(t, http.StatusConflict, "price_changed")
		if replayed := a.header.Get("Idempotent-Replayed") == "true"; replayed != (i == 1) || !strings.Contains(a.text, `"unitPriceCents":9999`) {
			t.Errorf("replayed: %v, %s", replayed, a.text)
		}
	}
	begun := post("new", 9999).want(t, http.StatusAccepted, "")
	if v := s.ended(begun.header.Get("Location")); v.State != saga.Completed {
		t.Errorf("ended as %+v", v)
	}
	s.sagasFinished()
	if s.stock(b) != 4 {
		t.Errorf("stock %d", s.stock(b))
	}
}

func TestBadCheckoutsAreRefusedAndRefusalsStay(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	post := func(key, body string) answer {
		return s.send(http.MethodPost, s.url+"/checkouts", body, "Idempotency-Key", s.key(key))
	}
	item := fmt.Sprintf(`"customerId":"c-1","items":[{"bookId":%d,"quantity":1}]`, b)
	for body, code := range map[string]string{
		`{` + item + `}`: "invalid_field",
		`{` + item + `,"payment":{"method":"cash","token":"tok_ok"}}`:                      "invalid_field",
		`{` + item + `,"payment":{"method":"card","token":"4242 4242"}}`:                   "invalid_field",
		`{"customerId":"c-1","items":[],"payment":{"method":"card","token":"tok_ok"}}`:     "invalid_field",
		`{` + item + `,"payment":{"method":"card","token":"tok_ok"},"requiresApproval":1}`: "malformed_request",
		`{` + item + `,"payment":{"method":"card","token":"tok_ok","cvc":1}}`:              "malformed_request",
	} {
		if a := post("bad", body); a.code() != code || a.status >= 500 {
			t.Errorf("%s: %d %s", body, a.status, a.text)
		}
	}
	unknown := `{"customerId":"c-1","items":[{"bookId":999,"quantity":1}],"payment":{"method":"card","token":"tok_ok"}}`
	for i := range 2 {
		a := post("unknown", unknown).want(t, http.StatusUnprocessableEntity, "book_not_found")
		if replayed := a.header.Get("Idempotent-Replayed") == "true"; replayed != (i == 1) {
			t.Errorf("replayed: %v", replayed)
		}
	}
	s.send(http.MethodPost, s.url+"/checkouts", unknown).want(t, http.StatusBadRequest, "idempotency_key_required")
	for _, id := range []string{"nonsense", "01890000-0000-7000-8000-000000000000"} {
		s.send(http.MethodGet, s.url+"/checkouts/"+id, "").want(t, http.StatusNotFound, "not_found")
		s.send(http.MethodPost, s.url+"/checkouts/"+id+"/cancel", "").want(t, http.StatusNotFound, "not_found")
	}
	s.sagasFinished()
}

// More checkouts than are driven at once, or may even wait in memory: each is
// taken as soon as there is room, and none only after its lease.
func TestACrowdOfCheckoutsDoesNotWaitForLeases(t *testing.T) {
	t.Parallel()
	s := open(t, options{sagas: func(s *saga.Settings) {
		s.MaxInHand, s.MaxWaiting, s.ClaimBatch, s.Lease, s.HeldFor = 4, 8, 4, time.Hour, time.Hour
	}})
	const crowd = 60
	b := s.book("A", 100, crowd)
	var beginning sync.WaitGroup
	for i := range crowd {
		beginning.Go(func() { s.checkout(fmt.Sprint("k-", i), b, 1, "tok_ok", "").want(t, http.StatusAccepted, "") })
	}
	beginning.Wait()
	s.sagasFinished()
	if left := s.stock(b); left != 0 {
		t.Errorf("%d copies left", left)
	}
}

// A compensation that keeps failing is visible, and never dropped.
func TestACompensationThatKeepsFailingIsStuckUntilItSucceeds(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 100, 5)
	location := s.checkout("k", b, 1, "tok_ok", withApproval).header.Get("Location")
	s.waitFor(location, saga.WaitingApproval)
	s.exec(s.books, "ALTER TABLE stock RENAME TO stock_away")
	s.send(http.MethodPost, s.url+location+"/cancel", "").want(t, http.StatusOK, "")
	s.eventually("it has failed", func() bool {
		return s.number(s.transactions, "SELECT failures FROM sagas") > 1
	})
	s.exec(s.transactions, "UPDATE sagas SET failures = 100, version = version + 1, updated_at = now() - interval '1 hour', wake_at = now()")
	s.waitFor(location, saga.Stuck)
	s.exec(s.books, "ALTER TABLE stock_away RENAME TO stock")
	s.send(http.MethodPost, s.url+location+"/retry", "").want(t, http.StatusOK, "")
	if v := s.ended(location); v.State != saga.Cancelled || s.stock(b) != 5 {
		t.Errorf("%s, stock %d", v.State, s.stock(b))
	}
	s.sagasFinished()
}
