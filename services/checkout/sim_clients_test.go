package checkout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/txn/twophase"
)

// node is a coordinator, the real one, in one of its lives.
type node struct {
	*process
	service *checkout.Service
}

// metricsOfAll counts for every node of every run: nobody reads it.
var metricsOfAll = twophase.NewMetrics(prometheus.NewRegistry())

// boot starts the next life of a coordinator; the one before is dead.
func (w *world) boot(name string, life int) *node {
	p := w.newProcess(fmt.Sprint(name, "/", life))
	owner := name // an instance that is started again in its place keeps its name
	if w.chance("renamed "+name, .5) {
		owner = p.name
	}
	ids := 0
	engine, err := twophase.New(twophase.Dependencies{
		Store: session{w.ledger.memory, p, w.ledger},
		Participants: map[string]twophase.Participant{
			"books":  remote{p, w.books.database, w.books.apply},
			"orders": remote{p, w.orders.database, w.orders.apply},
		},
		Metrics: metricsOfAll, Log: w.log(p.name),
	}, twophase.DefaultSettings(owner))
	if err != nil {
		panic(err)
	}
	service, err := checkout.New(checkout.Dependencies{
		Transactions: engine, Quotes: reads{p}, Orders: reads{p}, Clock: time.Now,
		NewID: func() (string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			ids++
			return fmt.Sprint("order-", p.name, "-", ids), nil
		},
	}, checkout.DefaultSettings())
	if err != nil {
		panic(err)
	}
	n := &node{p, service}
	if err := engine.Start(context.Background()); err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = append(w.nodes, n)
	return n
}

// anyNode is one that is alive.
func (w *world) anyNode(why string) *node {
	for {
		w.mu.Lock()
		var alive []*node
		for _, n := range w.nodes {
			if n.alive() {
				alive = append(alive, n)
			}
		}
		w.mu.Unlock()
		if len(alive) > 0 {
			return alive[w.draw("which "+why).IntN(len(alive))]
		}
		if !w.pass(50 * time.Millisecond) {
			return w.nodes[0]
		}
	}
}

// client sends one request with its key until the answer is definite, and then
// perhaps again.
type client struct {
	w       *world
	name    string
	key     string // "" is a cancel without one
	orderID string // of a cancel
	request checkout.OrderRequest
	answers []said
	doubted bool // the last answer was that nobody knows
}

// said is one definite answer.
type said struct {
	kind    fault.Kind // "" is done
	message string
	body    string
	replay  bool
}

func (s said) same(o said) bool {
	return s.kind == o.kind && s.message == o.message && s.body == o.body
}

// patience is how many times a client asks before it complains.
const patience = 60

// run asks; ordered is told the first success.
func (c *client) run(ordered func(orderID string)) {
	w := c.w
	for range patience {
		result, err := c.ask()
		if !definite(err) {
			c.doubted = fault.KindOf(err) == fault.OutcomeUnknown
			if !w.pass(w.between(c.name+" rests", 20*time.Millisecond, time.Second)) {
				return
			}
			continue
		}
		a := said{body: string(result.Body), replay: result.Replayed}
		if err != nil {
			a = said{kind: fault.KindOf(err), message: fault.As(err).Message, replay: result.Replayed}
		} else if len(c.answers) == 0 {
			c.visible(result)
			if ordered != nil {
				ordered(result.Location[len("/orders/"):])
			}
		}
		c.answers = append(c.answers, a)
		if len(c.answers) == 3 || w.chance(c.name+" is content", .4) {
			return
		}
		w.pass(w.between(c.name+" asks again", 0, 2*time.Second))
	}
	if !c.doubted || len(w.meddled) == 0 {
		w.breachf("%s asked %d times and had no answer", c.name, patience)
	}
}

// definite tells whether an answer binds the key.
func definite(err error) bool {
	return err == nil || twophase.VoteOf(err) == twophase.No || fault.KindOf(err) == fault.IdempotencyKeyReused
}

// answered is what a call came to.
type answered struct {
	result checkout.Result
	err    error
}

// ask sends the request to some coordinator, and gives up after a while, or
// when the coordinator dies: the request goes on without its client.
func (c *client) ask() (checkout.Result, error) {
	w := c.w
	n := w.anyNode(c.name)
	served := make(chan answered, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), w.between(c.name+" is served", 300*time.Millisecond, 8*time.Second))
		defer cancel()
		var a answered
		if c.orderID == "" {
			a.result, a.err = n.service.PlaceOrder(ctx, checkout.PlaceOrder{Key: c.key, Request: c.request})
		} else {
			a.result, a.err = n.service.CancelOrder(ctx, checkout.CancelOrder{Key: c.key, OrderID: c.orderID})
		}
		if n.acts() {
			served <- a
		}
	}()
	limit := time.NewTimer(w.between(c.name+" waits", 200*time.Millisecond, 9*time.Second))
	defer limit.Stop()
	select {
	case a := <-served:
		w.tellf("%s: %s says %v", c.name, n.name, outcomeOf(a))
		return a.result, a.err
	case <-n.died:
	case <-limit.C:
	}
	return checkout.Result{}, gone()
}

func outcomeOf(a answered) string {
	if a.err != nil {
		return spoken(a.err)
	}
	return fmt.Sprint(a.result.Status, " replayed ", a.result.Replayed, " ", string(a.result.Body))
}

// visible: a success is answered when it can be seen.
func (c *client) visible(r checkout.Result) {
	var o checkout.Order
	if err := json.Unmarshal(r.Body, &o); err != nil {
		c.w.breachf("%s was answered %s", c.name, r.Body)
		return
	}
	c.w.orders.mu.Lock()
	defer c.w.orders.mu.Unlock()
	row, there := c.w.orders.rows[o.ID]
	cancelled := row.Status == checkout.StatusCancelled
	if !there || (c.orderID != "" && !cancelled) || row.TotalCents != o.TotalCents {
		c.w.breachf("%s was answered %s, and the shop has %+v", c.name, r.Body, row)
	}
}
