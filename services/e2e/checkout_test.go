//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/cluster"
)

func TestCheckoutIsPaidAndItsOrderIsThere(t *testing.T) {
	c := shoptest.Shop(t)
	one, two := c.AddBook(t, "Checked out", 5), c.AddBook(t, "Checked out too", 5)
	customer := "checkout-" + uuid.NewString()[:8]
	k := shoptest.StartCheckout(customer, uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: one.ID, Quantity: 2}, shoptest.OrderItem{BookID: two.ID, Quantity: 1})
	began, path := c.Begin(t, k)
	if began.CustomerID != customer || path != "/checkouts/"+began.ID {
		t.Errorf("began %+v at %q", began, path)
	}
	now := c.Await(t, path, "completed")
	for i, name := range []string{"reserve_stock", "authorise", "capture", "create_order"} {
		if s := now.Steps[i]; s.Name != name || s.State != "done" || s.Attempts < 1 || s.StartedAt.IsZero() || s.FinishedAt.Before(s.StartedAt) || s.Error != nil {
			t.Errorf("step %d is %+v", i, s)
		}
	}
	var made shoptest.Order
	c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/orders/" + now.OrderID}, &made)
	total := 2*one.PriceCents + two.PriceCents
	if made.Status != "paid" || made.CustomerID != customer || made.TotalCents != total || len(made.Items) != 2 || made.Items[0].Title != one.Title {
		t.Errorf("order %+v", made)
	}
	if got := cluster.Money(t, made.ID, "merchant"); got != total {
		t.Errorf("the merchant has %d of %d", got, total)
	}
	if c.Available(t, one.ID) != 3 || c.Available(t, two.ID) != 4 {
		t.Error("the copies of the order are still there")
	}
	listed[shoptest.Order](t, c, "/orders?status=paid&customerId="+customer, 1)
	requireProblem(t, c.Do(t, shoptest.Call{Method: "POST", Path: path + "/cancel"}), http.StatusConflict, "already_captured")
	cluster.RequireLedgerBalanced(t)
}

// The same request is one checkout, however often it is sent.
func TestOneKeyIsOneCheckout(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "One checkout", 50)
	customer, key := "checkout-"+uuid.NewString()[:8], uuid.NewString()
	k := shoptest.StartCheckout(customer, key, "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 1})
	answers := c.AtOnce(t, 8, func(int) shoptest.Call { return k })
	replayed := 0
	for _, a := range answers {
		if a.Status != http.StatusAccepted || a.Header.Get("Location") != answers[0].Header.Get("Location") || !bytes.Equal(a.Body, answers[0].Body) {
			t.Fatalf("%v, another %v", a, answers[0])
		}
		if a.Header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != len(answers)-1 {
		t.Errorf("%d of %d answers are replays", replayed, len(answers))
	}
	other := shoptest.StartCheckout(customer, key, "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 2})
	requireProblem(t, c.Do(t, other), http.StatusUnprocessableEntity, "idempotency_key_reused")
	c.Await(t, answers[0].Header.Get("Location"), "completed")
	if left := c.Available(t, b.ID); left != 49 {
		t.Errorf("%d copies left, want 49", left)
	}
	listed[shoptest.Order](t, c, "/orders?customerId="+customer, 1)
}

// The provider's answer decides: a refusal undoes what was done, a call without an answer is repeated.
func TestCheckoutGoesAsThePaymentGoes(t *testing.T) {
	c := shoptest.Shop(t)
	for _, test := range []struct {
		token, state string
		code         string // of why it was undone
		step         string // whose attempts are checked
		attempts     int    // of it, at least
	}{
		{"tok_decline", "failed", "payment_declined", "authorise", 1},
		{"tok_decline_capture", "failed", "payment_declined", "capture", 1},
		{"tok_nobody_knows", "failed", "invalid_field", "authorise", 1},
		{"tok_late", "completed", "", "authorise", 2},
		{"tok_fail_4", "completed", "", "authorise", 2}, // the sidecar's two retries are among the failures
		{"tok_fail_capture_4", "completed", "", "capture", 2},
		{"tok_late_capture", "completed", "", "capture", 2},
	} {
		t.Run(test.token, func(t *testing.T) {
			b := c.AddBook(t, "Paid with "+test.token, 3)
			customer := "checkout-" + uuid.NewString()[:8]
			_, path := c.Begin(t, shoptest.StartCheckout(customer, uuid.NewString(), test.token, false, shoptest.OrderItem{BookID: b.ID, Quantity: 2}))
			now := c.Await(t, path, test.state)
			if s := now.Step(test.step); s.Attempts < test.attempts {
				t.Errorf("%s", now.Text())
			}
			if test.state == "completed" {
				if got := cluster.Money(t, now.OrderID, "merchant"); got != 2*b.PriceCents || c.Available(t, b.ID) != 1 {
					t.Errorf("the merchant has %d, %d copies are left", got, c.Available(t, b.ID))
				}
				return
			}
			requireUndone(t, c, now, customer, b, 3)
			if now.Error == nil || now.Error.Code != test.code || now.Step(test.step).State != "refused" {
				t.Errorf("%s because of %+v", now.Text(), now.Error)
			}
		})
	}
}

// requireUndone: no order, no money, all copies there.
func requireUndone(t *testing.T, c *shoptest.Client, was shoptest.Checkout, customer string, b shoptest.Book, stock int64) {
	t.Helper()
	if was.OrderID != "" {
		t.Errorf("checkout %s has order %s", was.ID, was.OrderID)
	}
	if orders := cluster.Number(t, cluster.Leader(t, "orderdb"), "select count(*) from orders where customer_id = $1", customer); orders != 0 {
		t.Errorf("%d orders are left of checkout %s", orders, was.ID)
	}
	if left := c.Available(t, b.ID); left != stock {
		t.Errorf("%d copies are left after checkout %s, want %d", left, was.ID, stock)
	}
	cluster.RequireNoMoney(t, was.ID)
}

func TestCheckoutOfMoreThanThereIs(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Checked out by too many", 1)
	customer := "checkout-" + uuid.NewString()[:8]
	_, path := c.Begin(t, shoptest.StartCheckout(customer, uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 2}))
	now := c.Await(t, path, "failed")
	if now.Error == nil || now.Error.Code != "out_of_stock" {
		t.Errorf("%s because of %+v", now.Text(), now.Error)
	}
	requireUndone(t, c, now, customer, b, 1)
}

// A provider that never answers blocks no checkout for good.
func TestCheckoutThatHangsCanBeCancelled(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Hanging", 3)
	customer := "checkout-" + uuid.NewString()[:8]
	_, path := c.Begin(t, shoptest.StartCheckout(customer, uuid.NewString(), "tok_hang", false, shoptest.OrderItem{BookID: b.ID, Quantity: 2}))
	for range 2 {
		c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/cancel"}, nil)
	}
	now := c.Await(t, path, "cancelled")
	requireUndone(t, c, now, customer, b, 3)
	requireProblem(t, c.Do(t, shoptest.StartCheckout(customer, "", "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 1})),
		http.StatusBadRequest, "idempotency_key_required")
}

func TestCheckoutWaitsForItsApproval(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Approved", 5)
	customer := "checkout-" + uuid.NewString()[:8]
	for verb, state := range map[string]string{"approve": "completed", "cancel": "cancelled"} {
		_, path := c.Begin(t, shoptest.StartCheckout(customer, uuid.NewString(), "tok_ok", true, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
		now := c.Await(t, path, "waiting_approval")
		if s := now.Step("approval"); s.State == "done" || now.Step("capture").State != "pending" || now.OrderID != "" {
			t.Errorf("it waits and is %s with order %q", now.Text(), now.OrderID)
		}
		for range 2 { // the second changes nothing
			c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/" + verb}, nil)
		}
		if now = c.Await(t, path, state); verb == "cancel" {
			cluster.RequireNoMoney(t, now.ID)
			continue
		}
		requireProblem(t, c.Do(t, shoptest.Call{Method: "POST", Path: path + "/cancel"}), http.StatusConflict, "already_captured")
	}
	if left := c.Available(t, b.ID); left != 4 {
		t.Errorf("%d copies are left of 5, one is sold", left)
	}
	listed[shoptest.Order](t, c, "/orders?customerId="+customer, 1)
}

// Approval and cancel at once: one of them is right, and what follows is whole.
func TestApprovalAgainstCancel(t *testing.T) {
	c := shoptest.Shop(t)
	const rounds = 6
	b := c.AddBook(t, "Wanted and not", rounds)
	bought := int64(0)
	for range rounds {
		_, path := c.Begin(t, shoptest.StartCheckout("two-minds", uuid.NewString(), "tok_ok", true, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
		c.Await(t, path, "waiting_approval")
		verbs := []string{"approve", "cancel"}
		for i, a := range c.AtOnce(t, 2, func(i int) shoptest.Call { return shoptest.Call{Method: "POST", Path: path + "/" + verbs[i]} }) {
			if a.Status != http.StatusOK && a.Problem().Code != "already_captured" {
				t.Errorf("%s: %v", verbs[i], a)
			}
		}
		var now shoptest.Checkout
		eventuallyOver(t, c, path, &now)
		if now.State == "completed" {
			bought++
			continue
		}
		cluster.RequireNoMoney(t, now.ID)
	}
	if left := c.Available(t, b.ID); left != rounds-bought {
		t.Errorf("%d copies are left of %d, %d are sold", left, rounds, bought)
	}
}

func TestCheckoutsThatAreNotThere(t *testing.T) {
	c := shoptest.Shop(t)
	for _, path := range []string{"/checkouts/", "/returns/"} {
		requireProblem(t, c.Do(t, shoptest.Call{Method: "GET", Path: path + uuid.NewString()}), http.StatusNotFound, "not_found")
		requireProblem(t, c.Do(t, shoptest.Call{Method: "GET", Path: path + "1"}), http.StatusNotFound, "not_found")
	}
	for _, verb := range []string{"approve", "cancel"} {
		path := fmt.Sprintf("/checkouts/%s/%s", uuid.NewString(), verb)
		requireProblem(t, c.Do(t, shoptest.Call{Method: "POST", Path: path}), http.StatusNotFound, "not_found")
	}
}

// What is stuck is an operator's to retry; of what is not, it changes nothing.
func TestRetryIsTheOperators(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Retried", 5)
	_, path := c.Begin(t, shoptest.StartCheckout("retry", uuid.NewString(), "tok_ok", false, shoptest.OrderItem{BookID: b.ID, Quantity: 1}))
	c.Await(t, path, "completed")
	retry := shoptest.Call{Method: "POST", Path: path + "/retry"}
	requireProblem(t, shoptest.NewClient(t, "").Do(t, retry), http.StatusUnauthorized, "unauthenticated")
	requireProblem(t, c.Do(t, retry), http.StatusForbidden, "forbidden")
	var now shoptest.Checkout
	shoptest.Operator(t).Want(t, http.StatusOK, retry, &now)
	if now.State != "completed" {
		t.Errorf("%s", now.Text())
	}
}

// A stream of a checkout has each of its changes once, also over two connections; after the last event it is
// answered with 204.
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
