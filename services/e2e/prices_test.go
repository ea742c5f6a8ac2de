//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// Whoever names the price that was shown pays that price or buys nothing.
func TestAnotherPriceThanTheOneShownBuysNothing(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Priced", 5)
	at := func(cents int64) orderItem { return orderItem{BookID: b.ID, Quantity: 1, UnitPriceCents: cents} }
	customer := "prices-" + uuid.NewString()[:8]
	var edited book
	c.want(t, http.StatusOK, call{method: "PATCH", path: fmt.Sprintf("/books/%d", b.ID), body: map[string]any{"priceCents": 9999}}, &edited)

	key := uuid.NewString()
	for i, k := range []call{
		buy(customer, key, at(b.PriceCents)), buy(customer, key, at(b.PriceCents)),
		checkOut(customer, uuid.NewString(), "tok_ok", false, at(b.PriceCents)),
	} {
		a := c.do(t, k)
		p := requireProblem(t, a, http.StatusConflict, "price_changed")
		if len(p.Books) != 1 || p.Books[0].BookID != b.ID || p.Books[0].UnitPriceCents != 9999 {
			t.Errorf("%s: the problem says of the books %+v", k.path, p.Books)
		}
		if len(p.Errors) != 1 || p.Errors[0].Field != "items[0].unitPriceCents" {
			t.Errorf("%s: the problem says of the fields %+v", k.path, p.Errors)
		}
		if replayed := a.header.Get("Idempotent-Replayed") == "true"; replayed != (i == 1) {
			t.Errorf("%s: call %d is replayed: %v", k.path, i, replayed)
		}
	}
	if left := c.available(t, b.ID); left != 5 {
		t.Errorf("%d copies are left of 5 that nobody bought", left)
	}
	if n := number(t, leader(t, "orderdb"), "select count(*) from orders where customer_id = $1", customer); n != 0 {
		t.Errorf("%d orders", n)
	}

	var made order
	c.want(t, http.StatusCreated, buy(customer, uuid.NewString(), at(9999)), &made)
	if made.TotalCents != 9999 {
		t.Errorf("made %+v", made)
	}
	c.want(t, http.StatusCreated, buy(customer, uuid.NewString(), orderItem{BookID: b.ID, Quantity: 1}), &made)
	if made.TotalCents != 9999 {
		t.Errorf("without a price: %+v", made)
	}
	_, path := c.begun(t, checkOut(customer, uuid.NewString(), "tok_ok", false, at(9999)))
	if now := c.comesTo(t, path, "completed"); money(t, now.OrderID, "merchant") != 9999 {
		t.Errorf("the merchant has %d", money(t, now.OrderID, "merchant"))
	}
	requireNothingInDoubt(t)
}

// Amounts are whole numbers of the smallest unit, however many decimals a currency has.
func TestEveryCurrencyIsPaidAndPaidBack(t *testing.T) {
	c := shop(t)
	for currency, cents := range map[string]int64{"JPY": 1815, "MRU": 4999, "SLE": 1, "KWD": 1234, "CLF": 12345} {
		body := newBook("Paid in "+currency, 3)
		body["currency"], body["priceCents"] = currency, cents
		var b book
		c.want(t, http.StatusCreated, call{method: "POST", path: "/books", body: body}, &b)
		c.deleteLater(t, b.ID)
		_, path := c.begun(t, checkOut("currencies", uuid.NewString(), "tok_ok", false, orderItem{BookID: b.ID, Quantity: 3, UnitPriceCents: cents}))
		now := c.comesTo(t, path, "completed")
		var paid order
		c.want(t, http.StatusOK, call{method: "GET", path: "/orders/" + now.OrderID}, &paid)
		if paid.Currency != currency || paid.TotalCents != 3*cents || money(t, paid.ID, "merchant") != 3*cents {
			t.Errorf("%s: order %+v, the merchant has %d", currency, paid, money(t, paid.ID, "merchant"))
		}
		_, path = c.begun(t, giveBack(paid.ID, uuid.NewString()))
		c.comesTo(t, path, "completed")
		if left := money(t, paid.ID, "merchant"); left != 0 || c.available(t, b.ID) != 3 {
			t.Errorf("%s: the merchant keeps %d, %d copies are back", currency, left, c.available(t, b.ID))
		}
	}
	requireLedgerBalanced(t)
}

// A book has one number, whichever of its two forms is written.
func TestBothFormsOfAnISBNAreOneNumber(t *testing.T) {
	c := shop(t)
	digits := fmt.Sprintf("69%07d", uuid.New().ID()%10_000_000)
	sum10, sum13 := 0, 38
	for i, d := range digits {
		sum10 += int(d-'0') * (10 - i)
		sum13 += int(d-'0') * (3 - 2*(i%2))
	}
	ten, thirteen := digits+string("0123456789X"[(11-sum10%11)%11]), fmt.Sprintf("978%s%d", digits, (10-sum13%10)%10)
	for _, forms := range [][2]string{{ten, thirteen}, {thirteen, ten}} {
		first, second := newBook("Numbered", 1), newBook("Numbered", 1)
		first["isbn"], second["isbn"] = forms[0], forms[1]
		var b book
		c.want(t, http.StatusCreated, call{method: "POST", path: "/books", body: first}, &b)
		c.deleteLater(t, b.ID)
		p := requireProblem(t, c.do(t, call{method: "POST", path: "/books", body: second}), http.StatusUnprocessableEntity, "invalid_field")
		if b.ISBN != forms[0] || len(p.Errors) != 1 || p.Errors[0].Field != "isbn" || p.Errors[0].Code != "taken" {
			t.Errorf("%s has %s, of %s: %+v", b.Title, b.ISBN, forms[1], p.Errors)
		}
		c.want(t, http.StatusNoContent, call{method: "DELETE", path: fmt.Sprintf("/books/%d", b.ID)}, nil)
	}
}
