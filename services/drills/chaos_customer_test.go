//go:build drill

package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// customers are those of a chaos, and what they know in the end.
type customers struct {
	shop    *shoptest.Client
	books   []int64
	name    string // that the customers' names begin with
	history history
	tally   shoptest.Tally

	mu     sync.Mutex
	orders map[string]bill // every order that was acknowledged
	sagas  []checkedOut    // every checkout that came to its end
	wrong  []string        // what must never be
}

// bill is an acknowledged order as its customer left it.
type bill struct {
	status string
	items  []shoptest.OrderItem
	cents  int64
}

// checkedOut is a checkout whose copies were reserved at some time between its two, if its
// ledger says so, and released again unless it was completed.
type checkedOut struct {
	id, who, state string
	items          []shoptest.OrderItem
	began, ended   time.Time
}

// customer makes one request after the other, the next when the outcome of the last is known.
type customer struct {
	*customers

	name   string
	random *rand.Rand
	placed []string // orders that may be cancelled
	paid   []string // orders that may be returned
}

// The tokens that customers pay with, some more often than others.
var chaosTokens = []string{
	"tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_decline", "tok_decline_capture",
	"tok_fail_2", "tok_fail_capture_1", "tok_late", "tok_fail_void_1",
}

func (g *customer) run(ctx, requests context.Context) {
	for ctx.Err() == nil {
		switch n := g.random.IntN(20); {
		case n < 7:
			g.read(requests)
		case n < 12:
			g.place(requests)
		case n < 14 && len(g.placed) > 0:
			g.cancel(requests)
		case n < 16 && len(g.paid) > 0:
			g.giveBack(requests)
		default:
			g.checkOut(requests)
		}
		select {
		case <-time.After(50*time.Millisecond + rand.N(150*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// basket draws one or two books.
func (g *customer) basket() (items []shoptest.OrderItem) {
	for _, i := range g.random.Perm(len(g.books))[:1+g.random.IntN(2)] {
		items = append(items, shoptest.OrderItem{BookID: g.books[i], Quantity: 1 + g.random.Int64N(2)})
	}
	return items
}

// persist makes a call until its outcome is known, always under the same key; false when
// time was up before.
func (g *customer) persist(ctx context.Context, k shoptest.Call) (a *shoptest.Answer, began, ended time.Time, ok bool) {
	began = time.Now()
	a, err := g.shop.Persist(ctx, k, g.tally.Inconclusive)
	if err != nil {
		g.complainf("%v, after %s", err, time.Since(began))
	}
	return a, began, time.Now(), err == nil
}

func (c *customers) complainf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (g *customer) note(kind string, items []shoptest.OrderItem, began, ended time.Time) {
	for _, i := range items {
		g.history.add(i.BookID, act{kind: kind, n: i.Quantity, who: g.name, began: began, ended: ended})
	}
}

// read reads how many copies are left. Each attempt is a read of its own.
func (g *customer) read(ctx context.Context) {
	book := g.books[g.random.IntN(len(g.books))]
	began := time.Now()
	a, err := g.shop.Try(ctx, shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d/availability", book)})
	var left struct{ Available int64 }
	switch {
	case err != nil || a.Status >= 500 || shoptest.Again(a):
		g.tally.Add("read in vain")
	case a.Status != http.StatusOK || json.Unmarshal(a.Body, &left) != nil:
		g.complainf("availability of %d: %v", book, a)
	case a.Header.Get("X-Cache") == "stale": // the contract's one exception
		g.tally.Add("read stale")
	default:
		g.history.add(book, act{kind: "read", seen: left.Available, who: g.name, began: began, ended: time.Now()})
		g.tally.Add("read")
	}
}

func (g *customer) place(ctx context.Context) {
	items := g.basket()
	a, began, ended, ok := g.persist(ctx, shoptest.Buy(g.name, "chaos-"+uuid.NewString(), items...))
	var o shoptest.Order
	switch {
	case !ok:
	case a.Status == http.StatusCreated && json.Unmarshal(a.Body, &o) == nil:
		g.note("take", items, began, ended)
		g.keep(o.ID, bill{"placed", items, o.TotalCents})
		g.placed = append(g.placed, o.ID)
		g.tally.Add("ordered")
	case a.Problem().Code == "out_of_stock":
		for _, short := range a.Problem().Books {
			for _, i := range items {
				if i.BookID == short.BookID {
					g.history.add(i.BookID, act{kind: "short", n: i.Quantity, seen: short.Available, who: g.name, began: began, ended: ended})
				}
			}
		}
		g.tally.Add("out of stock")
	default:
		g.complainf("an order was answered with %v", a)
	}
}

func (g *customer) cancel(ctx context.Context) {
	id := pick(g.random, &g.placed)
	k := shoptest.Call{Method: "POST", Path: "/orders/" + id + "/cancel"}
	a, began, ended, ok := g.persist(ctx, k)
	switch {
	case !ok:
	case a.Status == http.StatusOK:
		g.note("give", g.change(id, "cancelled"), began, ended)
		g.tally.Add("cancelled")
	default:
		g.complainf("the cancel of %s was answered with %v", id, a)
	}
}

// keep remembers an order when it is acknowledged for the first time.
func (c *customers) keep(id string, b bill) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, twice := c.orders[id]; twice {
		c.wrong = append(c.wrong, fmt.Sprintf("order %s was acknowledged under two keys", id))
	}
	c.orders[id] = b
}

// change sets what has become of an order and returns its items.
func (c *customers) change(id, status string) []shoptest.OrderItem {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.orders[id]
	b.status = status
	c.orders[id] = b
	return b.items
}

// pick takes one of the list out.
func pick(random *rand.Rand, list *[]string) string {
	i, last := random.IntN(len(*list)), len(*list)-1
	picked := (*list)[i]
	(*list)[i] = (*list)[last]
	*list = (*list)[:last]
	return picked
}

// checkOut makes a checkout to its end, approval or cancel included.
func (g *customer) checkOut(ctx context.Context) {
	items, token := g.basket(), chaosTokens[g.random.IntN(len(chaosTokens))]
	approval := g.random.IntN(3) == 0
	a, began, _, ok := g.persist(ctx, shoptest.StartCheckout(g.name, "chaos-"+uuid.NewString(), token, approval, items...))
	if !ok {
		return
	}
	if a.Status != http.StatusAccepted {
		g.complainf("a checkout was answered with %v", a)
		return
	}
	path := a.Header.Get("Location")
	now, ok := g.follow(ctx, path, g.random.IntN(4) > 0)
	if !ok {
		return
	}
	g.mu.Lock()
	g.sagas = append(g.sagas, checkedOut{now.ID, g.name, now.State, items, began, time.Now()})
	g.mu.Unlock()
	if now.State != "completed" {
		g.judge(now, token)
		return
	}
	if strings.HasPrefix(token, "tok_decline") {
		g.complainf("%s was paid for with %s", path, token)
	}
	g.tally.Add("checked out")
	g.keep(now.OrderID, bill{status: "paid", items: items})
	g.paid = append(g.paid, now.OrderID)
}

// judge: a checkout that came to nothing has a reason.
func (g *customer) judge(now shoptest.Checkout, token string) {
	code := ""
	if now.Error != nil {
		code = now.Error.Code
	}
	g.tally.Add("checkout " + now.State + ": " + code)
	switch {
	case now.State == "cancelled", code == "out_of_stock", code == "payment_declined" && strings.HasPrefix(token, "tok_decline"):
	default:
		g.complainf("checkout %s with %s is %s because of %+v", now.ID, token, now.Text(), now.Error)
	}
}

// follow waits for the end of a checkout or return, and approves or cancels it where that is needed.
func (g *customer) follow(ctx context.Context, path string, agree bool) (now shoptest.Checkout, ok bool) {
	for {
		a, _, _, ok := g.persist(ctx, shoptest.Call{Method: "GET", Path: path})
		if !ok {
			return now, false
		}
		now = shoptest.Checkout{}
		if err := json.Unmarshal(a.Body, &now); err != nil || a.Status != http.StatusOK {
			g.complainf("GET %s: %v", path, a)
			return now, false
		}
		switch {
		case now.Over():
			return now, true
		case now.State == "waiting_approval":
			verb := "approve"
			if !agree {
				verb = "cancel"
			}
			if a, _, _, ok := g.persist(ctx, shoptest.Call{Method: "POST", Path: path + "/" + verb}); ok && a.Status != http.StatusOK {
				g.complainf("%s of %s: %v", verb, path, a)
			}
		}
		select {
		case <-time.After(100*time.Millisecond + rand.N(100*time.Millisecond)):
		case <-ctx.Done():
			g.complainf("%s has not ended: %s", path, now.Text())
			return now, false
		}
	}
}

func (g *customer) giveBack(ctx context.Context) {
	id := pick(g.random, &g.paid)
	a, began, _, ok := g.persist(ctx, shoptest.StartReturn(id, "chaos-"+uuid.NewString()))
	if !ok {
		return
	}
	if a.Status != http.StatusAccepted {
		g.complainf("the return of %s was answered with %v", id, a)
		return
	}
	now, ok := g.follow(ctx, a.Header.Get("Location"), true)
	switch {
	case !ok:
	case now.State == "completed":
		g.note("give", g.change(id, "returned"), began, time.Now())
		g.tally.Add("returned")
	default:
		g.complainf("the return of %s is %s", id, now.Text())
	}
}
