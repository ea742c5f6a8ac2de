package checkout_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"bookstore/services/checkout"
	"bookstore/services/checkout/checkouthttp"
	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/saga"
)

// Quotes that share a call with books that cannot be sold take a call or two more. An order
// for such a book is refused with the line that it is in.
func TestAnOrderForABookThatCannotBeSoldIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	s := open(t, options{closed: true})
	b, gone := s.book("A", 100, 1), s.book("B", 200, 1)
	s.send(http.MethodDelete, fmt.Sprintf("%s/books/%d", s.booksURL, gone), "").want(t, http.StatusNoContent, "")
	target, err := url.Parse(s.booksURL)
	if err != nil {
		t.Fatal(err)
	}
	const orders, bad = 120, 6
	var calls, waiting atomic.Int64
	open := make(chan struct{})
	toBooks := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	toBooks.Transport = transport
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= 2 { // the others are asked for together meanwhile
			<-open
		}
		toBooks.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	client := call.New(proxy.URL, call.Options{Destination: "books"})
	t.Cleanup(client.Close)
	quotes := checkouthttp.NewQuotes(client)
	var asking sync.WaitGroup
	for i := range orders {
		asking.Go(func() {
			ids, want := []int64{b}, fault.Kind("")
			switch {
			case i < bad:
				ids, want = []int64{b, 777_000 + int64(i)}, kinds.BookNotFoundInOrder
			case i < 2*bad:
				ids, want = []int64{gone}, kinds.BookGone
			}
			waiting.Add(1)
			got, err := quotes.Quote(t.Context(), ids)
			switch f := fault.As(err); {
			case want == "" && (err != nil || len(got) != 1 || got[0].UnitPriceCents != 100):
				t.Errorf("order %d: %v, %v", i, got, err)
			case want != "" && fault.KindOf(err) != want:
				t.Errorf("order %d: %v, %v", i, got, err)
			case want == kinds.BookNotFoundInOrder && (len(f.Fields) != 1 || f.Fields[0].Field != "items[1].bookId"):
				t.Errorf("order %d: %+v", i, f.Fields)
			}
		})
	}
	s.eventually("all ask", func() bool { return waiting.Load() == orders && calls.Load() >= 2 })
	close(open)
	asking.Wait()
	if n := calls.Load(); n > orders/2 {
		t.Errorf("%d orders took %d calls", orders, n)
	}
}

// A price that moves after the checkout has begun is found when the stock is
// reserved, which is before any money moves.
func TestACheckoutWhosePriceMovesBeforeTheReservationFails(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	b := s.book("A", 1000, 5)
	held, err := s.books.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), "SELECT FROM stock WHERE book_id = $1 FOR UPDATE", b); err != nil {
		t.Fatal(err)
	}
	begun := s.send(http.MethodPost, s.url+"/checkouts", fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":1,"unitPriceCents":1000}],
		"payment":{"method":"card","token":"tok_ok"}}`, b), "Idempotency-Key", s.key("k")).want(t, http.StatusAccepted, "")
	if _, err := held.Exec(t.Context(), "UPDATE books SET price_cents = 9999 WHERE id = $1", b); err != nil {
		t.Fatal(err)
	}
	if err := held.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := s.ended(begun.header.Get("Location"))
	if v.State != saga.Failed || v.Error == nil || v.Error.Code != "price_changed" || v.OrderID != "" {
		t.Errorf("%s %+v", v.State, v.Error)
	}
	if got := states(v); got != "reserve_stock=refused authorise=pending capture=pending create_order=pending" {
		t.Error(got)
	}
	s.sagasFinished()
	if payments := s.number(s.payments, "SELECT count(*) FROM payments"); payments != 0 || s.stock(b) != 5 {
		t.Errorf("%d payments, stock %d", payments, s.stock(b))
	}
}

// Amounts are whole numbers of the currency's smallest unit, however many
// decimals it has: they are the same in the order, in the payment, and when
// they are paid back.
func TestAmountsStayWhatTheyAreInEveryCurrency(t *testing.T) {
	t.Parallel()
	s := open(t, options{})
	for currency, cents := range map[string]int64{"JPY": 1815, "KRW": 100_000_000, "EUR": 1, "MRU": 4999, "KWD": 1234, "CLF": 12345, "UYW": 1} {
		var book struct{ ID int64 }
		s.send(http.MethodPost, s.booksURL+"/books", fmt.Sprintf(`{"title":"T","authors":["A"],"priceCents":%d,"currency":%q,"quantity":9}`, cents, currency)).
			want(t, http.StatusCreated, "").read(t, &book)
		item := fmt.Sprintf(`{"customerId":"c-1","items":[{"bookId":%d,"quantity":3,"unitPriceCents":%d}]`, book.ID, cents)
		var placed, paid checkout.Order
		s.order(currency, item+"}").want(t, http.StatusCreated, "").read(t, &placed)
		begun := s.send(http.MethodPost, s.url+"/checkouts", item+`,"payment":{"method":"card","token":"tok_ok"}}`, "Idempotency-Key", s.key(currency+"-paid"))
		v := s.ended(begun.want(t, http.StatusAccepted, "").header.Get("Location"))
		s.send(http.MethodGet, s.ordersURL+"/orders/"+v.OrderID, "").want(t, http.StatusOK, "").read(t, &paid)
		for _, o := range []checkout.Order{placed, paid} {
			if o.Currency != currency || o.TotalCents != 3*cents || o.Items[0].UnitPriceCents != cents {
				t.Errorf("%s %s: %+v", currency, o.Status, o)
			}
		}
		owned := func(account string) int64 {
			return s.number(s.payments, `SELECT coalesce(sum(e.cents), 0) FROM ledger_entries e JOIN payments p ON p.id = e.payment_id
				WHERE p.order_id = $1 AND p.currency = $2 AND p.amount_cents = $3 AND e.account = $4`, v.OrderID, currency, 3*cents, account)
		}
		if got := owned("merchant"); got != 3*cents {
			t.Errorf("%s: paid %d", currency, got)
		}
		back := s.send(http.MethodPost, s.url+"/orders/"+v.OrderID+"/returns", "", "Idempotency-Key", s.key(currency+"-back"))
		if r := s.ended(back.want(t, http.StatusAccepted, "").header.Get("Location")); r.State != saga.Completed {
			t.Errorf("%s: %s %+v", currency, r.State, r.Error)
		}
		if got := owned("merchant"); got != 0 {
			t.Errorf("%s: %d are not paid back", currency, got)
		}
		s.cancel(placed.ID).want(t, http.StatusOK, "")
		s.finished()
		if s.stock(book.ID) != 9 {
			t.Errorf("%s: stock %d", currency, s.stock(book.ID))
		}
	}
	s.sagasFinished()
}
