package checkout_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"bookstore/services/checkout/checkouthttp"
	"bookstore/services/platform/call"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
)

// Prices that are asked for together with books that cannot be sold come in a
// call or two more; who asked for such a book hears which of the lines it is.
func TestABookThatCannotBeSoldIsToldToWhoAsked(t *testing.T) {
	t.Parallel()
	s := open(t, options{closed: true})
	b, gone := s.book("A", 100, 1), s.book("B", 200, 1)
	s.send(http.MethodDelete, fmt.Sprintf("%s/books/%d", s.booksURL, gone), "").want(t, http.StatusNoContent, "")
	target, err := url.Parse(s.booksURL)
	if err != nil {
		t.Fatal(err)
	}
	const orders, bad = 120, 6
	var calls, waiting atomic.Int64
	open := make(chan struct{})
	toBooks := httputil.NewSingleHostReverseProxy(target)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	toBooks.Transport = transport
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= 2 { // the others are asked for together meanwhile
			<-open
		}
		toBooks.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	client := call.New(proxy.URL, call.Options{Destination: "books"})
	t.Cleanup(client.Close)
	quotes := checkouthttp.NewQuotes(client)
	var asking sync.WaitGroup
	for i := range orders {
		asking.Go(func() {
			ids, want := []int64{b}, fault.Kind("")
			switch {
			case i < bad:
				ids, want = []int64{b, 777_000 + int64(i)}, kinds.BookNotFoundInOrder
			case i < 2*bad:
				ids, want = []int64{gone}, kinds.BookGone
			}
			waiting.Add(1)
			got, err := quotes.Quote(t.Context(), ids)
			switch f := fault.As(err); {
			case want == "" && (err != nil || len(got) != 1 || got[0].UnitPriceCents != 100):
				t.Errorf("order %d: %v, %v", i, got, err)
			case want != "" && fault.KindOf(err) != want:
				t.Errorf("order %d: %v, %v", i, got, err)
			case want == kinds.BookNotFoundInOrder && (len(f.Fields) != 1 || f.Fields[0].Field != "items[1].bookId"):
				t.Errorf("order %d: %+v", i, f.Fields)
			}
		})
	}
	s.eventually("all ask", func() bool { return waiting.Load() == orders && calls.Load() >= 2 })
	close(open)
	asking.Wait()
	if n := calls.Load(); n > orders/2 {
		t.Errorf("%d orders took %d calls", orders, n)
	}
}
