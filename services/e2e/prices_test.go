//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// Whoever names the price that was shown pays that price or buys nothing.
func TestAnotherPriceThanTheOneShownBuysNothing(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Priced", 5)
	at := func(cents int64) shoptest.OrderItem {
		return shoptest.OrderItem{BookID: b.ID, Quantity: 1, UnitPriceCents: cents}
	}
	customer := "prices-" + uuid.NewString()[:8]
	var edited shoptest.Book
	c.Want(t, http.StatusOK, shoptest.Call{Method: "PATCH", Path: fmt.Sprintf("/books/%d", b.ID), Body: map[string]any{"priceCents": 9999}}, &edited)

	key := uuid.NewString()
	for i, k := range []shoptest.Call{
		shoptest.Buy(customer, key, at(b.PriceCents)), shoptest.Buy(customer, key, at(b.PriceCents)),
		shoptest.StartCheckout(customer, uuid.NewString(), "tok_ok", false, at(b.PriceCents)),
	} {
		a := c.Do(t, k)
		p := requireProblem(t, a, http.StatusConflict, "price_changed")
		if len(p.Books) != 1 || p.Books[0].BookID != b.ID || p.Books[0].UnitPriceCents != 9999 {
			t.Errorf("%s: the problem says of the books %+v", k.Path, p.Books)
		}
		if len(p.Errors) != 1 || p.Errors[0].Field != "items[0].unitPriceCents" {
			t.Errorf("%s: the problem says of the fields %+v", k.Path, p.Errors)
		}
		if replayed := a.Header.Get("Idempotent-Replayed") == "true"; replayed != (i == 1) {
			t.Errorf("%s: call %d is replayed: %v", k.Path, i, replayed)
		}
	}
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d copies are left of 5 that nobody bought", left)
	}
	if n := cluster.Number(t, cluster.Leader(t, "orderdb"), "select count(*) from orders where customer_id = $1", customer); n != 0 {
		t.Errorf("%d orders", n)
	}

	var made shoptest.Order
	c.Want(t, http.StatusCreated, shoptest.Buy(customer, uuid.NewString(), at(9999)), &made)
	if made.TotalCents != 9999 {
		t.Errorf("made %+v", made)
	}
	c.Want(t, http.StatusCreated, shoptest.Buy(customer, uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1}), &made)
	if made.TotalCents != 9999 {
		t.Errorf("without a price: %+v", made)
	}
	_, path := c.Begin(t, shoptest.StartCheckout(customer, uuid.NewString(), "tok_ok", false, at(9999)))
	if now := c.Await(t, path, "completed"); cluster.Money(t, now.OrderID, "merchant") != 9999 {
		t.Errorf("the merchant has %d", cluster.Money(t, now.OrderID, "merchant"))
	}
	cluster.RequireNothingInDoubt(t)
}

// Amounts are whole numbers of the smallest unit, however many decimals a currency has.
func TestEveryCurrencyIsPaidAndPaidBack(t *testing.T) {
	c := shoptest.Shop(t)
	for currency, cents := range map[string]int64{"JPY": 1815, "MRU": 4999, "SLE": 1, "KWD": 1234, "CLF": 12345} {
		body := shoptest.NewBook("Paid in "+currency, 3)
		body["currency"], body["priceCents"] = currency, cents
		var b shoptest.Book
		c.Want(t, http.StatusCreated, shoptest.Call{Method: "POST", Path: "/books", Body: body}, &b)
		c.DeleteLater(t, b.ID)
		_, path := c.Begin(t, shoptest.StartCheckout("currencies", uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 3, UnitPriceCents: cents}))
		now := c.Await(t, path, "completed")
		var paid shoptest.Order
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/orders/" + now.OrderID}, &paid)
		if paid.Currency != currency || paid.TotalCents != 3*cents || cluster.Money(t, paid.ID, "merchant") != 3*cents {
			t.Errorf("%s: order %+v, the merchant has %d", currency, paid, cluster.Money(t, paid.ID, "merchant"))
		}
		_, path = c.Begin(t, shoptest.StartReturn(paid.ID, uuid.NewString()))
		c.Await(t, path, "completed")
		if left := cluster.Money(t, paid.ID, "merchant"); left != 0 || c.Available(t, b.ID) != 3 {
			t.Errorf("%s: the merchant keeps %d, %d copies are back", currency, left, c.Available(t, b.ID))
		}
	}
	cluster.RequireLedgerBalanced(t)
}

// A book has one number, whichever of its two forms is written.
func TestBothFormsOfAnISBNAreOneNumber(t *testing.T) {
	c := shoptest.Shop(t)
	digits := fmt.Sprintf("69%07d", uuid.New().ID()%10_000_000)
	sum10, sum13 := 0, 38
	for i, d := range digits {
		sum10 += int(d-'0') * (10 - i)
		sum13 += int(d-'0') * (3 - 2*(i%2))
	}
	ten, thirteen := digits+string("0123456789X"[(11-sum10%11)%11]), fmt.Sprintf("978%s%d", digits, (10-sum13%10)%10)
	for _, forms := range [][2]string{{ten, thirteen}, {thirteen, ten}} {
		first, second := shoptest.NewBook("Numbered", 1), shoptest.NewBook("Numbered", 1)
		first["isbn"], second["isbn"] = forms[0], forms[1]
		var b shoptest.Book
		c.Want(t, http.StatusCreated, shoptest.Call{Method: "POST", Path: "/books", Body: first}, &b)
		c.DeleteLater(t, b.ID)
		p := requireProblem(t, c.Do(t, shoptest.Call{Method: "POST", Path: "/books", Body: second}), http.StatusUnprocessableEntity, "invalid_field")
		if b.ISBN != forms[0] || len(p.Errors) != 1 || p.Errors[0].Field != "isbn" || p.Errors[0].Code != "taken" {
			t.Errorf("%s has %s, of %s: %+v", b.Title, b.ISBN, forms[1], p.Errors)
		}
		c.Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: fmt.Sprintf("/books/%d", b.ID)}, nil)
	}
}
