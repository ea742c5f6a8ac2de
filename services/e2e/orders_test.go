//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

func TestOrderIsPlacedReadAndCancelled(t *testing.T) {
	c := shoptest.Shop(t)
	one, two := c.AddBook(t, "Ordered", 5), c.AddBook(t, "Ordered too", 5)
	customer := "customer-" + uuid.NewString()[:8]
	key := uuid.NewString()
	place := shoptest.Buy(customer, key, shoptest.OrderItem{BookID: one.ID, Quantity: 2}, shoptest.OrderItem{BookID: two.ID, Quantity: 1})
	var made, read shoptest.Order
	a := c.Want(t, http.StatusCreated, place, &made)
	path := "/orders/" + made.ID
	if a.Header.Get("Location") != path || made.Status != "placed" || made.TotalCents != 2*one.PriceCents+two.PriceCents || made.Currency != "EUR" {
		t.Errorf("made %+v at %q", made, a.Header.Get("Location"))
	}
	if len(made.Items) != 2 || made.Items[0].Title != one.Title || made.Items[0].UnitPriceCents != one.PriceCents {
		t.Errorf("items %+v", made.Items)
	}
	if id, err := uuid.Parse(made.ID); err != nil || id.Version() != 7 {
		t.Errorf("id %q is no UUIDv7", made.ID)
	}

	replay := c.Want(t, http.StatusCreated, place, nil)
	if replay.Header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(replay.Body, a.Body) || replay.Header.Get("Location") != path {
		t.Errorf("replay %v with %v, first %v", replay, replay.Header, a)
	}
	other := shoptest.Buy(customer, key, shoptest.OrderItem{BookID: one.ID, Quantity: 1})
	requireProblem(t, c.Do(t, other), http.StatusUnprocessableEntity, "idempotency_key_reused")
	if left := c.Available(t, one.ID); left != 3 {
		t.Errorf("%d left after one order, its replay and a refusal, want 3", left)
	}

	c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: path}, &read)
	if read.ID != made.ID || read.TotalCents != made.TotalCents || read.Status != "placed" {
		t.Errorf("read %+v", read)
	}
	for range 2 {
		c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: path + "/cancel"}, &read)
		if read.Status != "cancelled" || read.Version != 2 {
			t.Errorf("cancelled %+v", read)
		}
	}
	if c.Available(t, one.ID) != 5 || c.Available(t, two.ID) != 5 {
		t.Error("cancelling twice did not return the copies once")
	}
	requireListed(t, c, customer, made.ID)
}

func requireListed(t *testing.T, c *shoptest.Client, customer, id string) {
	t.Helper()
	for status, want := range map[string]int{"": 1, "cancelled": 1, "placed": 0} {
		query := url.Values{"customerId": {customer}}
		if status != "" {
			query.Set("status", status)
		}
		if list := listed[shoptest.Order](t, c, "/orders?"+query.Encode(), want); want == 1 && list.Items[0].ID != id {
			t.Errorf("orders of %s with status %q: %+v", customer, status, list.Items)
		}
	}
}

func TestOrdersArePaged(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Paged orders", 10)
	customer := "pages-" + uuid.NewString()[:8]
	for range 5 {
		c.Want(t, http.StatusCreated, shoptest.Buy(customer, uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1}), nil)
	}
	listed[shoptest.Order](t, c, "/orders?customerId="+customer, 5)
	seen, cursor := map[string]bool{}, ""
	for pages := 1; ; pages++ {
		query := url.Values{"customerId": {customer}, "limit": {"2"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var list shoptest.Page[shoptest.Order]
		c.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/orders?" + query.Encode()}, &list)
		for _, o := range list.Items {
			if seen[o.ID] {
				t.Errorf("order %s is listed twice", o.ID)
			}
			seen[o.ID] = true
		}
		if cursor = list.NextCursor; cursor == "" || pages > 5 {
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d orders were listed, want 5", len(seen))
	}
}

// All or nothing: one book too few, and no copy of the others is taken.
func TestOrderThatCannotBeFilledChangesNothing(t *testing.T) {
	c := shoptest.Shop(t)
	plenty, few := c.AddBook(t, "Plenty", 10), c.AddBook(t, "Few", 1)
	place := shoptest.Buy("all-or-nothing", uuid.NewString(), shoptest.OrderItem{BookID: plenty.ID, Quantity: 1}, shoptest.OrderItem{BookID: few.ID, Quantity: 2})
	first := c.Do(t, place)
	p := requireProblem(t, first, http.StatusConflict, "out_of_stock")
	if len(p.Books) != 1 || p.Books[0].BookID != few.ID || p.Books[0].Available != 1 {
		t.Errorf("the problem says of the books %+v", p.Books)
	}
	replay := c.Do(t, place)
	requireProblem(t, replay, http.StatusConflict, "out_of_stock")
	if replay.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a refusal is an outcome, and yet its replay is new: %v", replay.Header)
	}
	if c.Available(t, plenty.ID) != 10 || c.Available(t, few.ID) != 1 {
		t.Error("a refused order took copies")
	}
	cluster.RequireNothingInDoubt(t)
}

// The same request sent sixteen times at once is one order.
func TestOneKeyIsOneOrder(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "One key", 50)
	place := shoptest.Buy("one-key", uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 1})
	ids := map[string]int{}
	for _, a := range c.AtOnce(t, 16, func(int) shoptest.Call { return place }) {
		if a.Status != http.StatusCreated {
			t.Errorf("%v", a)
		}
		ids[a.Header.Get("Location")]++
	}
	if left := c.Available(t, b.ID); left != 49 || len(ids) != 1 {
		t.Errorf("%d copies left, orders %v; want one order", left, ids)
	}
}

// Parallel cancels return the copies once; a deadlock across the two databases would be
// invisible to PostgreSQL and show as a time-out here.
func TestParallelCancelsReturnTheCopiesOnce(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Cancelled at once", 8)
	var made shoptest.Order
	c.Want(t, http.StatusCreated, shoptest.Buy("cancels", uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 3}), &made)
	cancels := c.AtOnce(t, 16, func(int) shoptest.Call {
		return shoptest.Call{Method: "POST", Path: "/orders/" + made.ID + "/cancel"}
	})
	for _, a := range cancels {
		if a.Status != http.StatusOK {
			t.Errorf("%v", a)
		}
	}
	if left := c.Available(t, b.ID); left != 8 {
		t.Errorf("%d copies after the cancels, want 8", left)
	}
	cluster.RequireLedgerBalanced(t)
}

// Copies of a book that was deleted meanwhile still come back.
func TestOrderOfADeletedBookCanBeCancelled(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Deleted later", 4)
	var made shoptest.Order
	c.Want(t, http.StatusCreated, shoptest.Buy("deleted", uuid.NewString(), shoptest.OrderItem{BookID: b.ID, Quantity: 3}), &made)
	c.Want(t, http.StatusNoContent, shoptest.Call{Method: "DELETE", Path: fmt.Sprintf("/books/%d", b.ID)}, nil)
	c.Want(t, http.StatusOK, shoptest.Call{Method: "POST", Path: "/orders/" + made.ID + "/cancel"}, nil)
	if stock := cluster.Number(t, cluster.Leader(t, "bookdb"), "select quantity from stock where book_id = $1", b.ID); stock != 4 {
		t.Errorf("stock %d after the cancel, want 4", stock)
	}
}

func TestOperatorCallsNeedTheOperatorToken(t *testing.T) {
	for _, path := range []string{"/transactions", "/transactions/0123456789abcdef"} {
		a := shoptest.NewClient(t, "").Do(t, shoptest.Call{Method: "GET", Path: path})
		requireProblem(t, a, http.StatusUnauthorized, "unauthenticated")
		if a.Header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
		requireProblem(t, shoptest.NewClient(t, "no-such-token").Do(t, shoptest.Call{Method: "GET", Path: path}), http.StatusForbidden, "forbidden")
		requireProblem(t, shoptest.Shop(t).Do(t, shoptest.Call{Method: "GET", Path: path}), http.StatusForbidden, "forbidden")
	}
	var list shoptest.Page[struct {
		GID      string
		Kind     string
		State    string
		Branches []struct{ Name, State string }
	}]
	op := shoptest.Operator(t)
	op.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/transactions?limit=1"}, &list)
	if len(list.Items) != 1 || len(list.Items[0].Branches) != 2 {
		t.Fatalf("transactions %+v", list.Items)
	}
	op.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/transactions/" + list.Items[0].GID}, nil)
}

func TestGatewaysAreWell(t *testing.T) {
	// An upstream that did not answer within half a second counts as away for that one request.
	shoptest.Eventually(t, 10*time.Second, "the shop is well", func(ctx context.Context) error {
		gateways, err := cluster.Healthy(ctx, t, "gateway", "")
		for _, g := range gateways {
			if health, err := cluster.Health(ctx, g); err != nil || health.Status != "ok" || health.Service != "gateway" {
				return fmt.Errorf("%+v: %w", health, err)
			}
		}
		return err
	})
}
