//go:build e2e

package e2e

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// Who follows a checkout sees each of its changes once, also when the connection was lost
// in between; who has seen the end is told that there is no more.
func TestCheckoutIsFollowed(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Followed", 3)
	_, path := c.Begin(t, shoptest.StartCheckout("follower", uuid.NewString(), "tok_ok", true, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
	_, first := c.Follow(t, path+"/events", 0, func(e shoptest.Event) bool { return e.Data.State == "waiting_approval" })
	seen := first[len(first)-1].ID
	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/approve"}, nil)
	_, rest := c.Follow(t, path+"/events", seen, func(shoptest.Event) bool { return false })
	_, whole := c.Follow(t, path+"/events", 0, func(shoptest.Event) bool { return false })
	if len(whole) != len(first)+len(rest) {
		t.Errorf("%d events in all, %d and then %d were seen", len(whole), len(first), len(rest))
	}
	last := int64(0)
	for i, e := range append(first, rest...) {
		if e.ID <= last || e.Name != "checkout" || e.Data.At.IsZero() {
			t.Errorf("event %+v after %d", e, last)
		}
		if i < len(whole) && whole[i].ID != e.ID {
			t.Errorf("event %d is %d, was %d", i, whole[i].ID, e.ID)
		}
		last = e.ID
	}
	if end := rest[len(rest)-1]; end.Data.State != "completed" {
		t.Errorf("the last event is %+v", end)
	}
	if status, more := c.Follow(t, path+"/events", last, func(shoptest.Event) bool { return false }); status != http.StatusNoContent || len(more) > 0 {
		t.Errorf("after the last event: %d %+v", status, more)
	}
}

func TestFollowingWhatCannotBeFollowed(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Not followed", 3)
	_, path := c.Begin(t, shoptest.StartCheckout("follower", uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
	c.Await(t, path, "completed")
	requireProblem(t, c.Do(t, shoptest.Call{Method: "GET", Path: "/checkouts/" + uuid.NewString() + "/events"}), http.StatusNotFound, "not_found")
	for _, id := range []string{"x", "-1", "1.5"} {
		a := c.Do(t, shoptest.Call{Method: "GET", Path: path + "/events", Header: map[string]string{"Last-Event-ID": id}})
		requireProblem(t, a, http.StatusBadRequest, "malformed_request")
	}
	a := c.Do(t, shoptest.Call{Method: "GET", Path: path + "/events", Header: map[string]string{"Accept": "application/json"}})
	requireProblem(t, a, http.StatusNotAcceptable, "not_acceptable")
}
