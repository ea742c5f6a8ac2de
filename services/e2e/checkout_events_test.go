//go:build e2e

package e2e

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
)

// Who follows a checkout sees each of its changes once, also when the connection was lost
// in between; who has seen the end is told that there is no more.
func TestCheckoutIsFollowed(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Followed", 3)
	_, path := c.begun(t, checkOut("follower", uuid.NewString(), "tok_ok", true, orderItem{BookID: b.ID, Quantity: 1}))
	_, first := c.follow(t, path+"/events", 0, func(e event) bool { return e.data.State == "waiting_approval" })
	seen := first[len(first)-1].id
	c.want(t, http.StatusOK, call{method: "POST", path: path + "/approve"}, nil)
	_, rest := c.follow(t, path+"/events", seen, func(event) bool { return false })
	_, whole := c.follow(t, path+"/events", 0, func(event) bool { return false })
	if len(whole) != len(first)+len(rest) {
		t.Errorf("%d events in all, %d and then %d were seen", len(whole), len(first), len(rest))
	}
	last := int64(0)
	for i, e := range append(first, rest...) {
		if e.id <= last || e.name != "checkout" || e.data.At.IsZero() {
			t.Errorf("event %+v after %d", e, last)
		}
		if i < len(whole) && whole[i].id != e.id {
			t.Errorf("event %d is %d, was %d", i, whole[i].id, e.id)
		}
		last = e.id
	}
	if end := rest[len(rest)-1]; end.data.State != "completed" {
		t.Errorf("the last event is %+v", end)
	}
	if status, more := c.follow(t, path+"/events", last, func(event) bool { return false }); status != http.StatusNoContent || len(more) > 0 {
		t.Errorf("after the last event: %d %+v", status, more)
	}
}

func TestFollowingWhatCannotBeFollowed(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Not followed", 3)
	_, path := c.begun(t, checkOut("follower", uuid.NewString(), "tok_ok", false, orderItem{BookID: b.ID, Quantity: 1}))
	c.comesTo(t, path, "completed")
	requireProblem(t, c.do(t, call{method: "GET", path: "/checkouts/" + uuid.NewString() + "/events"}), http.StatusNotFound, "not_found")
	for _, id := range []string{"x", "-1", "1.5"} {
		a := c.do(t, call{method: "GET", path: path + "/events", header: map[string]string{"Last-Event-ID": id}})
		requireProblem(t, a, http.StatusBadRequest, "malformed_request")
	}
	a := c.do(t, call{method: "GET", path: path + "/events", header: map[string]string{"Accept": "application/json"}})
	requireProblem(t, a, http.StatusNotAcceptable, "not_acceptable")
}
