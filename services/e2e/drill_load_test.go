//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"bookstore/services/shoptest"
)

// drillLoad is a shop's day in small: reads, which are not tried again, and orders, each
// under its key, which are asked for until they are settled.
type drillLoad struct {
	shop     *shoptest.Client
	customer string
	books    []int64
	crowded  chan struct{} // asks for a crowd of orders at once
	stop     context.CancelFunc
	settle   context.Context // the orders' own: they outlive the load
	giveUp   context.CancelFunc
	done     chan struct{}

	mu           sync.Mutex
	acked        []ack
	reads        int
	failedReads  int
	failedOrders int      // answers, not orders
	askedAgain   int      // orders
	wrong        []string // what must never be
	examples     []string // the first failures in words
}

// ack is an order as it was acknowledged.
type ack struct {
	at   time.Time
	path string
	body []byte
}

// The size of a drill's load, and its bounds.
const (
	drillEvery    = 50 * time.Millisecond // a request, every other an order
	drillCrowd    = 24                    // orders at once
	drillInFlight = 512
	drillStock    = 100_000
	maxDrill      = 5 * time.Minute
	settleWithin  = 30 * time.Second
)

func startDrillLoad(t *testing.T) *drillLoad {
	t.Helper()
	l := &drillLoad{
		shop: shoptest.Shop(t), customer: "drill-" + uuid.NewString()[:8],
		crowded: make(chan struct{}), done: make(chan struct{}),
	}
	for i := range 20 {
		l.books = append(l.books, l.shop.AddBook(t, fmt.Sprintf("Drill %d", i), drillStock).ID)
	}
	l.settle, l.giveUp = context.WithTimeout(t.Context(), maxDrill)
	ctx, stop := context.WithCancel(l.settle)
	l.stop = stop
	go l.run(ctx)
	t.Cleanup(func() { l.stop(); l.giveUp(); <-l.done })
	return l
}

func (l *drillLoad) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(drillEvery)
	defer tick.Stop()
	slots := make(chan struct{}, drillInFlight)
	var flying sync.WaitGroup
	defer flying.Wait()
	start := func(request func()) {
		select {
		case slots <- struct{}{}:
			flying.Go(func() { request(); <-slots })
		default:
			l.note(&l.wrong, fmt.Sprintf("more than %d requests wait for an answer", drillInFlight))
		}
	}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-l.crowded:
			for i := range drillCrowd {
				start(func() { l.order(n + i) })
			}
		case <-tick.C:
			if n%2 == 0 {
				start(func() { l.order(n / 2) })
			} else {
				start(func() { l.read(n / 2) })
			}
		}
	}
}

// crowd returns once the crowd's orders are being sent.
func (l *drillLoad) crowd() {
	select {
	case l.crowded <- struct{}{}:
	case <-l.done:
	}
}

// order asks for the nth order until it is settled, at first at once, then ever less often,
// as clients do who want the shop back on its feet.
func (l *drillLoad) order(n int) {
	items := []shoptest.OrderItem{{BookID: l.books[n%len(l.books)], Quantity: 1}}
	if n%3 == 0 {
		items = append(items, shoptest.OrderItem{BookID: l.books[(n+7)%len(l.books)], Quantity: 2})
	}
	k := shoptest.Buy(l.customer, "drill-"+uuid.NewString(), items...)
	wait := 100 * time.Millisecond
	for tries := 1; ; tries++ {
		a, err := l.shop.Try(l.settle, k)
		switch {
		case err != nil || a.Status >= 500:
			l.failed(&l.failedOrders, k, a, err)
		case a.Status == http.StatusCreated:
			l.acknowledged(ack{time.Now(), a.Header.Get("Location"), a.Body}, tries)
			return
		case !shoptest.Again(a):
			l.note(&l.wrong, fmt.Sprintf("an order was answered with %v", a))
			return
		}
		select {
		case <-l.settle.Done():
			l.note(&l.wrong, fmt.Sprintf("an order was not settled in %d tries, the last answer: %v %v", tries, a, err))
			return
		case <-time.After(wait/2 + rand.N(wait)):
			wait = min(2*wait, 4*time.Second)
		}
	}
}

func (l *drillLoad) acknowledged(a ack, tries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, a)
	if tries > 1 {
		l.askedAgain++
	}
}

// read makes the nth read. That of an order is of the last one acknowledged.
func (l *drillLoad) read(n int) {
	book := l.books[n%len(l.books)]
	k := shoptest.Call{Method: "GET", Path: fmt.Sprintf("/books/%d", book)}
	switch n % 4 {
	case 1:
		k.Path += "/availability"
	case 2:
		k.Path = "/books?limit=5"
	case 3:
		if last := l.acks(); len(last) > 0 {
			k.Path = last[len(last)-1].path
		}
	}
	a, err := l.shop.Try(l.settle, k)
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
	switch {
	case err != nil || a.Status >= 500:
		l.failed(&l.failedReads, k, a, err)
	case a.Status != http.StatusOK:
		l.note(&l.wrong, fmt.Sprintf("GET %s: %v", k.Path, a))
	}
}

func (l *drillLoad) failed(counter *int, k shoptest.Call, a *shoptest.Answer, err error) {
	text := fmt.Sprintf("%s %s %s: %v", time.Now().UTC().Format("15:04:05.000"), k.Method, k.Path, err)
	if err == nil {
		text = fmt.Sprintf("%s %s %s: %v", time.Now().UTC().Format("15:04:05.000"), k.Method, k.Path, a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	*counter++
	if len(l.examples) < 10 {
		l.examples = append(l.examples, text)
	}
}

func (l *drillLoad) note(list *[]string, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, text)
}

func (l *drillLoad) acks() []ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.acked)
}

// ackedMore waits until n more orders were acknowledged.
func (l *drillLoad) ackedMore(t *testing.T, n int) {
	t.Helper()
	until := len(l.acks()) + n
	shoptest.Eventually(t, time.Minute, fmt.Sprintf("%d more orders", n), func(context.Context) error {
		if now := len(l.acks()); now < until {
			return fmt.Errorf("%d to go", until-now)
		}
		return nil
	})
}

// finish ends the load and gives its last orders time to be settled.
func (l *drillLoad) finish(t *testing.T) {
	t.Helper()
	l.stop()
	timer := time.AfterFunc(settleWithin, l.giveUp)
	defer timer.Stop()
	<-l.done
}

// longestGap is the longest time without an acknowledgement that ended after the kill.
func (l *drillLoad) longestGap(killed time.Time) (gap time.Duration) {
	var before time.Time
	for _, a := range l.acks() { // in the order of their times, since they were appended as they came
		if !before.IsZero() && a.at.After(killed) {
			gap = max(gap, a.at.Sub(before))
		}
		before = a.at
	}
	return gap
}

// requireKept: every acknowledged order is there as it was acknowledged, there is no order
// beside them, and the copies that are gone are those that they bought.
func (l *drillLoad) requireKept(t *testing.T) {
	t.Helper()
	sold, paths := map[int64]int64{}, map[string]bool{}
	for _, acked := range l.acked {
		if paths[acked.path] {
			t.Errorf("%s was acknowledged under two keys", acked.path)
		}
		paths[acked.path] = true
		read := l.shop.Do(t, shoptest.Call{Method: "GET", Path: acked.path})
		if read.Status != http.StatusOK || !sameJSON(t, read.Body, acked.body) {
			t.Errorf("%s is %v, acknowledged was %s", acked.path, read, acked.body)
		}
		var o shoptest.Order
		if err := json.Unmarshal(acked.body, &o); err != nil {
			t.Fatalf("%s in %s", err, acked.body)
		}
		for _, i := range o.Items {
			sold[i.BookID] += i.Quantity
		}
	}
	if stored := number(t, leader(t, "orderdb"), "select count(*) from orders where customer_id = $1", l.customer); stored != int64(len(paths)) {
		t.Errorf("%d orders are stored, %d were acknowledged", stored, len(paths))
	}
	for _, id := range l.books {
		if left := l.shop.Available(t, id); left+sold[id] != drillStock {
			t.Errorf("book %d: %d in stock and %d sold, together not %d", id, left, sold[id], drillStock)
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	if bytes.Equal(a, b) {
		return true
	}
	var one, other any
	if err := json.Unmarshal(a, &one); err != nil {
		t.Errorf("%v in %s", err, a)
	}
	if err := json.Unmarshal(b, &other); err != nil {
		t.Errorf("%v in %s", err, b)
	}
	return reflect.DeepEqual(one, other)
}
