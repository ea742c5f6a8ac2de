package shoptest

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Kinds of requests that loads are made of.
const (
	Orders  = "order"
	Books   = "book"
	Lists   = "list"
	Another = "other read"
)

// BesideOthers is the rate of a load, in requests a second, while something else is done to the
// shop: about a third of what two cores carry, for what is started or replaced takes as much again.
const BesideOthers = 30

// StartEveryday sends a mix of requests, BesideOthers a second, a fifth of them orders.
func StartEveryday(t *testing.T) *Load {
	t.Helper()
	l := NewLoad(t, 20, 100_000)
	every := func(tenths time.Duration) time.Duration { return 10 * time.Second / (tenths * BesideOthers) }
	l.Start(t,
		l.Orders(every(2), false),
		l.Reads(every(5)),
		Stream{Kind: Lists, Every: every(1), Want: http.StatusOK, Call: func(int) Call { return get("/books?limit=5") }},
		Stream{Kind: Another, Every: every(1), Want: http.StatusOK, Call: func(n int) Call { return get(fmt.Sprintf("/books/%d/availability", l.book(n))) }},
		Stream{Kind: Another, Every: every(1), Want: http.StatusOK, Call: func(int) Call { return get("/orders?customerId=" + l.Customer + "&limit=5") }},
	)
	return l
}

// StartReads reads one path so many times a second.
func StartReads(t *testing.T, perSecond int, path string) *Load {
	t.Helper()
	l := NewLoad(t, 0, 0)
	l.Start(t, Stream{Kind: Books, Every: time.Second / time.Duration(perSecond), Want: http.StatusOK, Call: func(int) Call { return get(path) }})
	return l
}

// Orders are orders of one or two of the load's books, each under a key of its own; with settle
// each is asked for until it is settled.
func (l *Load) Orders(every time.Duration, settle bool) Stream {
	return Stream{Kind: Orders, Every: every, Want: http.StatusCreated, Settle: settle, Call: func(n int) Call {
		items := []OrderItem{{BookID: l.book(n), Quantity: 1}}
		if settle && n%3 == 0 && len(l.Books) > 1 {
			items = append(items, OrderItem{BookID: l.book(n + 1), Quantity: 2})
		}
		return Buy(l.Customer, "load-"+uuid.NewString(), items...)
	}}
}

// Reads are reads of the load's books.
func (l *Load) Reads(every time.Duration) Stream {
	return Stream{Kind: Books, Every: every, Want: http.StatusOK, Call: func(n int) Call { return get(BookPath(l.book(n))) }}
}

// BookPath is the path of a book.
func BookPath(id int64) string { return fmt.Sprintf("/books/%d", id) }

func (l *Load) book(n int) int64 { return l.Books[n%len(l.Books)] }

func get(path string) Call { return Call{Method: http.MethodGet, Path: path} }
