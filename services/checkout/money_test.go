package checkout_test

import (
	"fmt"
	"net/http"
	"testing"

	"bookstore/services/checkout"
	"bookstore/services/txn/saga"
)

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
	s.sagasSettled()
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
		s.settled()
		if s.stock(book.ID) != 9 {
			t.Errorf("%s: stock %d", currency, s.stock(book.ID))
		}
	}
	s.sagasSettled()
}
