//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestOrderIsPlacedReadAndCancelled(t *testing.T) {
	c := shop(t)
	one, two := c.addBook(t, "Ordered", 5), c.addBook(t, "Ordered too", 5)
	customer := "customer-" + uuid.NewString()[:8]
	key := uuid.NewString()
	place := buy(customer, key, orderItem{BookID: one.ID, Quantity: 2}, orderItem{BookID: two.ID, Quantity: 1})
	var made, read order
	a := c.want(t, http.StatusCreated, place, &made)
	path := "/orders/" + made.ID
	if a.header.Get("Location") != path || made.Status != "placed" || made.TotalCents != 2*one.PriceCents+two.PriceCents || made.Currency != "EUR" {
		t.Errorf("made %+v at %q", made, a.header.Get("Location"))
	}
	if len(made.Items) != 2 || made.Items[0].Title != one.Title || made.Items[0].UnitPriceCents != one.PriceCents {
		t.Errorf("items %+v", made.Items)
	}
	if id, err := uuid.Parse(made.ID); err != nil || id.Version() != 7 {
		t.Errorf("id %q is no UUIDv7", made.ID)
	}

	replay := c.want(t, http.StatusCreated, place, nil)
	if replay.header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(replay.body, a.body) || replay.header.Get("Location") != path {
		t.Errorf("replay %v with %v, first %v", replay, replay.header, a)
	}
	other := buy(customer, key, orderItem{BookID: one.ID, Quantity: 1})
	requireProblem(t, c.do(t, other), http.StatusUnprocessableEntity, "idempotency_key_reused")
	if left := c.available(t, one.ID); left != 3 {
		t.Errorf("%d left after one order, its replay and a refusal, want 3", left)
	}

	c.want(t, http.StatusOK, call{method: "GET", path: path}, &read)
	if read.ID != made.ID || read.TotalCents != made.TotalCents || read.Status != "placed" {
		t.Errorf("read %+v", read)
	}
	for range 2 {
		c.want(t, http.StatusOK, call{method: "POST", path: path + "/cancel"}, &read)
		if read.Status != "cancelled" || read.Version != 2 {
			t.Errorf("cancelled %+v", read)
		}
	}
	if c.available(t, one.ID) != 5 || c.available(t, two.ID) != 5 {
		t.Error("cancelling twice did not return the copies once")
	}
	requireListed(t, c, customer, made.ID)
}

func requireListed(t *testing.T, c *client, customer, id string) {
	t.Helper()
	for status, want := range map[string]int{"": 1, "cancelled": 1, "placed": 0} {
		query := url.Values{"customerId": {customer}}
		if status != "" {
			query.Set("status", status)
		}
		if list := listed[order](t, c, "/orders?"+query.Encode(), want); want == 1 && list.Items[0].ID != id {
			t.Errorf("orders of %s with status %q: %+v", customer, status, list.Items)
		}
	}
}

func TestOrdersArePaged(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Paged orders", 10)
	customer := "pages-" + uuid.NewString()[:8]
	for range 5 {
		c.want(t, http.StatusCreated, buy(customer, uuid.NewString(), orderItem{BookID: b.ID, Quantity: 1}), nil)
	}
	listed[order](t, c, "/orders?customerId="+customer, 5)
	seen, cursor := map[string]bool{}, ""
	for pages := 1; ; pages++ {
		query := url.Values{"customerId": {customer}, "limit": {"2"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		var list page[order]
		c.want(t, http.StatusOK, call{method: "GET", path: "/orders?" + query.Encode()}, &list)
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
	c := shop(t)
	plenty, few := c.addBook(t, "Plenty", 10), c.addBook(t, "Few", 1)
	place := buy("all-or-nothing", uuid.NewString(), orderItem{BookID: plenty.ID, Quantity: 1}, orderItem{BookID: few.ID, Quantity: 2})
	first := c.do(t, place)
	p := requireProblem(t, first, http.StatusConflict, "out_of_stock")
	if len(p.Books) != 1 || p.Books[0].BookID != few.ID || p.Books[0].Available != 1 {
		t.Errorf("the problem says of the books %+v", p.Books)
	}
	replay := c.do(t, place)
	requireProblem(t, replay, http.StatusConflict, "out_of_stock")
	if replay.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a refusal is an outcome, and yet its replay is new: %v", replay.header)
	}
	if c.available(t, plenty.ID) != 10 || c.available(t, few.ID) != 1 {
		t.Error("a refused order took copies")
	}
	requireNothingInDoubt(t)
}

// The same request sent sixteen times at once is one order.
func TestOneKeyIsOneOrder(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "One key", 50)
	place := buy("one-key", uuid.NewString(), orderItem{BookID: b.ID, Quantity: 1})
	var mu sync.Mutex
	var done sync.WaitGroup
	ids := map[string]int{}
	for range 16 {
		done.Go(func() {
			a, err := c.persist(t.Context(), place)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || a.status != http.StatusCreated {
				t.Errorf("%v %v", a, err)
				return
			}
			ids[a.header.Get("Location")]++
		})
	}
	done.Wait()
	if left := c.available(t, b.ID); left != 49 || len(ids) != 1 {
		t.Errorf("%d copies left, orders %v; want one order", left, ids)
	}
}

// Parallel cancels return the copies once; a deadlock across the two databases would be
// invisible to PostgreSQL and show as a time-out here.
func TestParallelCancelsReturnTheCopiesOnce(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Cancelled at once", 8)
	var made order
	c.want(t, http.StatusCreated, buy("cancels", uuid.NewString(), orderItem{BookID: b.ID, Quantity: 3}), &made)
	var done sync.WaitGroup
	for range 16 {
		done.Go(func() {
			a, err := c.persist(t.Context(), call{method: "POST", path: "/orders/" + made.ID + "/cancel"})
			if err != nil || a.status != http.StatusOK {
				t.Errorf("%v %v", a, err)
			}
		})
	}
	done.Wait()
	if left := c.available(t, b.ID); left != 8 {
		t.Errorf("%d copies after the cancels, want 8", left)
	}
	requireLedgerBalanced(t)
}

// Copies of a book that was deleted meanwhile still come back.
func TestOrderOfADeletedBookCanBeCancelled(t *testing.T) {
	c := shop(t)
	b := c.addBook(t, "Deleted later", 4)
	var made order
	c.want(t, http.StatusCreated, buy("deleted", uuid.NewString(), orderItem{BookID: b.ID, Quantity: 3}), &made)
	c.want(t, http.StatusNoContent, call{method: "DELETE", path: fmt.Sprintf("/books/%d", b.ID)}, nil)
	c.want(t, http.StatusOK, call{method: "POST", path: "/orders/" + made.ID + "/cancel"}, nil)
	if stock := number(t, leader(t, "bookdb"), "select quantity from stock where book_id = $1", b.ID); stock != 4 {
		t.Errorf("stock %d after the cancel, want 4", stock)
	}
}

func TestOperatorCallsNeedTheOperatorToken(t *testing.T) {
	for _, path := range []string{"/transactions", "/transactions/0123456789abcdef"} {
		a := newClient(t, "").do(t, call{method: "GET", path: path})
		requireProblem(t, a, http.StatusUnauthorized, "unauthenticated")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
		requireProblem(t, newClient(t, "no-such-token").do(t, call{method: "GET", path: path}), http.StatusForbidden, "forbidden")
		requireProblem(t, shop(t).do(t, call{method: "GET", path: path}), http.StatusForbidden, "forbidden")
	}
	var list page[struct {
		GID      string
		Kind     string
		State    string
		Branches []struct{ Name, State string }
	}]
	op := operator(t)
	op.want(t, http.StatusOK, call{method: "GET", path: "/transactions?limit=1"}, &list)
	if len(list.Items) != 1 || len(list.Items[0].Branches) != 2 {
		t.Fatalf("transactions %+v", list.Items)
	}
	op.want(t, http.StatusOK, call{method: "GET", path: "/transactions/" + list.Items[0].GID}, nil)
}

func TestHealthAndReady(t *testing.T) {
	c := newClient(t, "")
	c.want(t, http.StatusOK, call{method: "GET", path: "/ready"}, nil)
	// An upstream that did not answer within half a second counts as away for that one look.
	eventually(t, 10*time.Second, "the shop is well", func(context.Context) error {
		var health struct{ Status, Service string }
		a := c.want(t, http.StatusOK, call{method: "GET", path: "/health"}, &health)
		if health.Status != "ok" || health.Service != "gateway" {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
}
