//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// bought checks out copies of a book and returns the order.
func bought(t *testing.T, c *client, b book, quantity int64) (o order) {
	t.Helper()
	_, path := c.begun(t, checkOut("returner", uuid.NewString(), "tok_ok", false, orderItem{BookID: b.ID, Quantity: quantity}))
	now := c.comesTo(t, path, "completed")
	c.want(t, http.StatusOK, call{method: "GET", path: "/orders/" + now.OrderID}, &o)
	return o
}

// eventuallyOver polls until a checkout or return has ended, however.
func eventuallyOver(t *testing.T, c *client, path string, now *checkout) {
	t.Helper()
	eventually(t, 30*time.Second, path+" is over", func(context.Context) error {
		*now = checkout{}
		c.want(t, http.StatusOK, call{method: "GET", path: path}, now)
		if !now.over() {
			return fmt.Errorf("it is %s", now.text())
		}
		return nil
	})
}

func requireReturned(t *testing.T, c *client, id string) {
	t.Helper()
	var o order
	c.want(t, http.StatusOK, call{method: "GET", path: "/orders/" + id}, &o)
	if o.Status != "returned" {
		t.Errorf("order %s is %s", id, o.Status)
	}
	for _, account := range []string{"customer", "held", "merchant"} {
		if cents := money(t, id, account); cents != 0 {
			t.Errorf("order %s: %d cents are left at the %s", id, cents, account)
		}
	}
}

func TestReturnPaysBackAndRestocks(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Returned", 5)
	o := bought(t, c, b, 2)
	key := uuid.NewString()
	began, path := c.begun(t, giveBack(o.ID, key))
	if path != "/returns/"+began.ID || began.OrderID != o.ID || began.CustomerID != o.CustomerID {
		t.Errorf("began %+v at %q", began, path)
	}
	now := c.comesTo(t, path, "completed")
	for i, name := range []string{"mark_returned", "refund", "restock"} {
		if now.Steps[i].Name != name || now.Steps[i].State != "done" {
			t.Errorf("step %d is %+v", i, now.Steps[i])
		}
	}
	requireReturned(t, c, o.ID)
	if left := c.available(t, b.ID); left != 5 {
		t.Errorf("%d copies are left, want 5", left)
	}

	replay := c.want(t, http.StatusAccepted, giveBack(o.ID, key), nil)
	if replay.header.Get("Idempotent-Replayed") != "true" || replay.header.Get("Location") != path {
		t.Errorf("replay %v with %v", replay, replay.header)
	}
	second := giveBack(o.ID, uuid.NewString())
	for range 2 { // a refusal is an outcome too
		requireProblem(t, c.do(t, second), http.StatusConflict, "not_returnable")
	}
	requireProblem(t, c.do(t, call{method: "POST", path: "/orders/" + o.ID + "/cancel"}), http.StatusConflict, "not_cancellable")
	if left := c.available(t, b.ID); left != 5 {
		t.Errorf("%d copies are left after a second return, want 5", left)
	}
	requireLedgerBalanced(t)
}

// Returns of one order under eight keys at once pay back once.
func TestParallelReturnsPayBackOnce(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Returned at once", 5)
	o := bought(t, c, b, 3)
	var mu sync.Mutex
	var done sync.WaitGroup
	var paths []string
	for range 8 {
		done.Go(func() {
			a, err := c.persist(t.Context(), giveBack(o.ID, uuid.NewString()))
			if err != nil || (a.status != http.StatusAccepted && a.problem().Code != "not_returnable") {
				t.Errorf("%v %v", a, err)
				return
			}
			if a.status == http.StatusAccepted {
				mu.Lock()
				defer mu.Unlock()
				paths = append(paths, a.header.Get("Location"))
			}
		})
	}
	done.Wait()
	completed := 0
	for _, path := range paths {
		var now checkout
		eventuallyOver(t, c, path, &now)
		switch {
		case now.State == "completed":
			completed++
		case now.State != "failed" || now.Error == nil || now.Error.Code != "not_returnable":
			t.Errorf("%s because of %+v", now.text(), now.Error)
		}
	}
	if left := c.available(t, b.ID); left != 5 || completed != 1 {
		t.Errorf("%d returns were completed, %d copies are left of 5", completed, left)
	}
	requireReturned(t, c, o.ID)
	requireLedgerBalanced(t)
}

func TestReturnsThatAreRefused(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Not returned", 5)
	var placed order
	c.want(t, http.StatusCreated, buy("returner", uuid.NewString(), orderItem{BookID: b.ID, Quantity: 1}), &placed)
	requireProblem(t, c.do(t, giveBack(placed.ID, uuid.NewString())), http.StatusConflict, "not_returnable")
	requireProblem(t, c.do(t, giveBack(placed.ID, "")), http.StatusBadRequest, "idempotency_key_required")
	requireProblem(t, c.do(t, giveBack(uuid.NewString(), uuid.NewString())), http.StatusNotFound, "order_not_found")
	requireProblem(t, c.do(t, giveBack("1", uuid.NewString())), http.StatusNotFound, "order_not_found")
}

// Copies of a book that was deleted meanwhile still come back.
func TestOrderOfADeletedBookCanBeReturned(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Deleted before its return", 4)
	o := bought(t, c, b, 3)
	c.want(t, http.StatusNoContent, call{method: "DELETE", path: fmt.Sprintf("/books/%d", b.ID)}, nil)
	_, path := c.begun(t, giveBack(o.ID, uuid.NewString()))
	c.comesTo(t, path, "completed")
	requireReturned(t, c, o.ID)
	if stock := number(t, leader(t, "bookdb"), "select quantity from stock where book_id = $1", b.ID); stock != 4 {
		t.Errorf("stock %d after the return, want 4", stock)
	}
}
