//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

// bought checks out copies of a book and returns the order.
func bought(t *testing.T, c *shoptest.Client, b shoptest.Book, quantity int64) (o shoptest.Order) {
	t.Helper()
	_, path := c.Begin(t, shoptest.StartCheckout("returner", uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: quantity}))
	now := c.Await(t, path, "completed")
	c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/orders/" + now.OrderID}, &o)
	return o
}

// eventuallyOver polls until a checkout or return has ended, however.
func eventuallyOver(t *testing.T, c *shoptest.Client, path string, now *shoptest.Checkout) {
	t.Helper()
	shoptest.Eventually(t, 30*time.Second, path+" is over", func(context.Context) error {
		*now = shoptest.Checkout{}
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path}, now)
		if !now.Over() {
			return fmt.Errorf("it is %s", now.Text())
		}
		return nil
	})
}

func requireReturned(t *testing.T, c *shoptest.Client, id string) {
	t.Helper()
	var o shoptest.Order
	c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/orders/" + id}, &o)
	if o.Status != "returned" {
		t.Errorf("order %s is %s", id, o.Status)
	}
	for _, account := range []string{"customer", "held", "merchant"} {
		if cents := cluster.Money(t, id, account); cents != 0 {
			t.Errorf("order %s: %d cents are left at the %s", id, cents, account)
		}
	}
}

func TestReturnPaysBackAndRestocks(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Returned", 5)
	o := bought(t, c, b, 2)
	key := uuid.NewString()
	began, path := c.Begin(t, shoptest.StartReturn(o.ID, key))
	if path != "/returns/"+began.ID || began.OrderID != o.ID || began.CustomerID != o.CustomerID {
		t.Errorf("began %+v at %q", began, path)
	}
	now := c.Await(t, path, "completed")
	for i, name := range []string{"mark_returned", "refund", "restock"} {
		if now.Steps[i].Name != name || now.Steps[i].State != "done" {
			t.Errorf("step %d is %+v", i, now.Steps[i])
		}
	}
	requireReturned(t, c, o.ID)
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d copies are left, want 5", left)
	}

	replay := c.Want(t, http.StatusAccepted, shoptest.StartReturn(o.ID, key), nil)
	if replay.Header.Get("Idempotent-Replayed") != "true" || replay.Header.Get("Location") != path {
		t.Errorf("replay %v with %v", replay, replay.Header)
	}
	second := shoptest.StartReturn(o.ID, uuid.NewString())
	for range 2 { // a refusal is an outcome too
		requireProblem(t, c.Do(t, second), http.StatusConflict, "not_returnable")
	}
	requireProblem(t, c.Do(t, shoptest.Call{Method: "POST", Path: "/orders/" + o.ID + "/cancel"}), http.StatusConflict, "not_cancellable")
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d copies are left after a second return, want 5", left)
	}
	cluster.RequireLedgerBalanced(t)
}

// Returns of one order under eight keys at once pay back once.
func TestParallelReturnsPayBackOnce(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Returned at once", 5)
	o := bought(t, c, b, 3)
	completed := 0
	for _, a := range c.AtOnce(t, 8, func(int) shoptest.Call { return shoptest.StartReturn(o.ID, uuid.NewString()) }) {
		if a.Status != http.StatusAccepted {
			requireProblem(t, a, http.StatusConflict, "not_returnable")
			continue
		}
		path := a.Header.Get("Location")
		var now shoptest.Checkout
		eventuallyOver(t, c, path, &now)
		switch {
		case now.State == "completed":
			completed++
		case now.State != "failed" || now.Error == nil || now.Error.Code != "not_returnable":
			t.Errorf("%s because of %+v", now.Text(), now.Error)
		}
	}
	if left := c.Available(t, b.ID); left != 5 || completed != 1 {
		t.Errorf("%d returns were completed, %d copies are left of 5", completed, left)
	}
	requireReturned(t, c, o.ID)
	cluster.RequireLedgerBalanced(t)
}

func TestReturnsThatAreRefused(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Not returned", 5)
	var placed shoptest.Order
	c.Want(t, http.StatusCreated, shoptest.Buy("returner", uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1}), &placed)
	requireProblem(t, c.Do(t, shoptest.StartReturn(placed.ID, uuid.NewString())), http.StatusConflict, "not_returnable")
	requireProblem(t, c.Do(t, shoptest.StartReturn(placed.ID, "")), http.StatusBadRequest, "idempotency_key_required")
	requireProblem(t, c.Do(t, shoptest.StartReturn(uuid.NewString(), uuid.NewString())), http.StatusNotFound, "order_not_found")
	requireProblem(t, c.Do(t, shoptest.StartReturn("1", uuid.NewString())), http.StatusNotFound, "order_not_found")
}

// Copies of a book that was deleted meanwhile still come back.
func TestOrderOfADeletedBookCanBeReturned(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Deleted before its return", 4)
	o := bought(t, c, b, 3)
	c.Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: fmt.Sprintf("/books/%d", b.ID)}, nil)
	_, path := c.Begin(t, shoptest.StartReturn(o.ID, uuid.NewString()))
	c.Await(t, path, "completed")
	requireReturned(t, c, o.ID)
	if stock := cluster.Number(t, cluster.Leader(t, "bookdb"), "select quantity from stock where book_id = $1", b.ID); stock != 4 {
		t.Errorf("stock %d after the return, want 4", stock)
	}
}
