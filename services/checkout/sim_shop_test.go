package checkout_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"bookstore/services/checkout"
	"bookstore/services/platform/fault"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/txnsim"
)

// simBooks is the books service of a simulation.
type simBooks struct {
	*txnsim.Database

	w            *txnsim.World
	stock, price map[int64]int64
	moved        map[int64]int64
}

const (
	simTitles    = 3
	initialStock = 4 // makes some orders fail
)

func newSimBooks(w *txnsim.World) *simBooks {
	b := &simBooks{w: w, stock: map[int64]int64{}, price: map[int64]int64{}, moved: map[int64]int64{}}
	b.Database = w.NewDatabase(checkout.BranchBooks, b.branch, map[string]txnsim.Work{"reserve_stock": b.reserve, "restock": b.restock})
	for id := range int64(simTitles) {
		b.stock[id+1], b.price[id+1] = initialStock, 100*(id+1)
	}
	return b
}

// simLines are the lines of the books branch and of the books' steps.
type simLines struct {
	Action string
	Lines  []simLine
}

type simLine struct{ BookID, Quantity, UnitPriceCents int64 }

func (b *simBooks) branch(c *txnsim.Change, payload []byte) error {
	var p simLines
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	return b.move(c, p.Lines, p.Action == "reserve")
}

func (b *simBooks) reserve(c *txnsim.Change, payload []byte) error {
	var p simLines
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	return b.move(c, p.Lines, true)
}

// restock is never undone.
func (b *simBooks) restock(c *txnsim.Change, payload []byte) error {
	var p simLines
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	return b.move(c, p.Lines, false)
}

// move takes the copies of the lines from the stock, or brings them back.
func (b *simBooks) move(c *txnsim.Change, lines []simLine, takes bool) error {
	slices.SortFunc(lines, func(x, y simLine) int { return cmp.Compare(x.BookID, y.BookID) })
	for _, line := range lines {
		id, delta := line.BookID, line.Quantity
		if takes {
			delta = -delta
		}
		if err := c.Lock(fmt.Sprint("stock ", id)); err != nil {
			return err
		}
		err := c.Statement(func() error {
			switch {
			case takes && line.UnitPriceCents != b.price[id]:
				return fault.New(kinds.PriceChanged, "the price has changed")
			case b.stock[id]+delta < 0:
				return fault.New(kinds.OutOfStock, "too few copies")
			}
			add := func(n int64) func() { return func() { b.stock[id], b.moved[id] = b.stock[id]+n, b.moved[id]+n } }
			c.Effect(add(delta), add(-delta))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// raise makes one book dearer.
func (b *simBooks) raise() {
	id := 1 + b.w.Draw("dearer").Int64N(simTitles)
	b.Peek(func() { b.price[id]++ })
}

// simOrders is the orders service of a simulation.
type simOrders struct {
	*txnsim.Database

	rows map[string]checkout.Order
}

func newSimOrders(w *txnsim.World) *simOrders {
	o := &simOrders{rows: map[string]checkout.Order{}}
	o.Database = w.NewDatabase(checkout.BranchOrders, o.branch, map[string]txnsim.Work{"create_order": o.create, "mark_returned": o.markReturned})
	return o
}

const statusReturned = "returned"

// simOrder is the payload of the orders branch and of the orders' steps.
type simOrder struct {
	Action, OrderID string
	Order           checkout.Order
}

func (o *simOrders) branch(c *txnsim.Change, payload []byte) error {
	var p simOrder
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	if p.Action == "place" {
		return o.insert(c, p.Order, checkout.StatusPlaced)
	}
	return o.change(c, p.OrderID, checkout.StatusPlaced, checkout.StatusCancelled, kinds.NotCancellable)
}

func (o *simOrders) create(c *txnsim.Change, payload []byte) error {
	var p simOrder
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	return o.insert(c, p.Order, checkout.StatusPaid)
}

func (o *simOrders) markReturned(c *txnsim.Change, payload []byte) error {
	var p simOrder
	if err := json.Unmarshal(payload, &p); err != nil {
		return err
	}
	return o.change(c, p.OrderID, checkout.StatusPaid, statusReturned, kinds.NotReturnable)
}

func (o *simOrders) insert(c *txnsim.Change, row checkout.Order, status string) error {
	row.Status, row.Version, row.UpdatedAt = status, 1, row.CreatedAt
	return c.Statement(func() error {
		c.Effect(func() { o.rows[row.ID] = row }, func() { delete(o.rows, row.ID) })
		return nil
	})
}

// change moves an order from one status to another, or refuses.
func (o *simOrders) change(c *txnsim.Change, id, from, to string, refusal fault.Kind) error {
	if err := c.Lock("order " + id); err != nil {
		return err
	}
	return c.Statement(func() error {
		row, there := o.rows[id]
		switch {
		case !there:
			return fault.New(kinds.OrderNotFound, "there is no such order")
		case row.Status != from:
			return fault.New(refusal, "it is "+row.Status)
		}
		set := func(status string) func() {
			return func() {
				row := o.rows[id]
				row.Status, row.Version = status, row.Version+1
				o.rows[id] = row
			}
		}
		c.Effect(set(to), set(from))
		return nil
	})
}

func (o *simOrders) has(id string) (there bool) {
	o.Peek(func() { _, there = o.rows[id] })
	return there
}

// simPayments is the payments service of a simulation.
type simPayments struct {
	*txnsim.Database

	w        *txnsim.World
	payments map[string]simPayment // by order
}

type simPayment struct {
	state string
	cents int64
}

func newSimPayments(w *txnsim.World) *simPayments {
	p := &simPayments{w: w, payments: map[string]simPayment{}}
	p.Database = w.NewDatabase(checkout.BranchPayments, nil, map[string]txnsim.Work{
		"authorise": p.step("", "authorised", "voided", .1),
		"capture":   p.step("authorised", "captured", "refunded", .1),
		"refund":    p.step("captured", "refunded", "", 0),
	})
	return p
}

// step moves a payment from one state to another, and undone to a third; "" for that is a
// step that cannot be undone. It is declined with a probability.
func (p *simPayments) step(from, to, undone string, declined float64) txnsim.Work {
	return func(c *txnsim.Change, payload []byte) error {
		var asked struct {
			OrderID     string
			AmountCents int64
		}
		if err := json.Unmarshal(payload, &asked); err != nil {
			return err
		}
		if err := c.Lock("payment " + asked.OrderID); err != nil {
			return err
		}
		return c.Statement(func() error {
			row := p.payments[asked.OrderID]
			switch {
			case row.state != from:
				return fault.New(kinds.NotReturnable, "the payment is "+row.state)
			case p.w.Chance(to+" is declined", declined):
				return fault.New(kinds.PaymentDeclined, "declined")
			}
			set := func(state string) func() {
				return func() { p.payments[asked.OrderID] = simPayment{state, max(row.cents, asked.AmountCents)} }
			}
			if undone == "" {
				c.Effect(set(to), nil)
			} else {
				c.Effect(set(to), set(undone))
			}
			return nil
		})
	}
}

// simReads is what a coordinator reads at the services.
type simReads struct {
	s *simShop
	n *txnsim.Node
}

// Quote implements checkout.Quoter.
func (r simReads) Quote(ctx context.Context, ids []int64) ([]checkout.Quote, error) {
	return txnsim.Send(ctx, r.n.Process, r.n.Name+": quote", func() (quotes []checkout.Quote, err error) {
		err = r.s.books.Read(func() error {
			for _, id := range ids {
				quotes = append(quotes, checkout.Quote{BookID: id, Title: "T", UnitPriceCents: r.s.books.price[id], Currency: "EUR"})
			}
			return nil
		})
		return quotes, err
	})
}

// Order implements checkout.OrderReader.
func (r simReads) Order(ctx context.Context, id string) (checkout.Order, error) {
	return txnsim.Send(ctx, r.n.Process, r.n.Name+": order "+id, func() (o checkout.Order, err error) {
		err = r.s.orders.Read(func() error {
			var there bool
			if o, there = r.s.orders.rows[id]; !there {
				return fault.New(kinds.OrderNotFound, "there is no such order")
			}
			return nil
		})
		return o, err
	})
}

// order reads an order from an answer.
func (s *simShop) order(client, body string) (o checkout.Order) {
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		s.w.Breachf("%s was answered %s", client, body)
	}
	return o
}

// visible returns the order of an answer as the shop has it: a success is answered when it
// can be seen.
func (s *simShop) visible(client string, body []byte) (row checkout.Order) {
	o := s.order(client, string(body))
	var there bool
	s.orders.Peek(func() { row, there = s.orders.rows[o.ID] })
	if !there || row.TotalCents != o.TotalCents {
		s.w.Breachf("%s was answered %s, and the shop has %+v", client, body, row)
	}
	return row
}

// check holds the databases to the equations of stock and money.
func (s *simShop) check() {
	left := map[int64]int64{}
	for id := range s.books.stock {
		left[id] = initialStock
	}
	for _, o := range s.orders.rows {
		paid := o.Status == checkout.StatusPaid
		if paid || o.Status == checkout.StatusPlaced {
			for _, item := range o.Items {
				left[item.BookID] -= item.Quantity
			}
		}
		p, want := s.payments.payments[o.ID], simPayment{}
		switch {
		case paid:
			want = simPayment{"captured", o.TotalCents}
		case o.Status == statusReturned:
			want = simPayment{"refunded", o.TotalCents}
		}
		if p != want {
			s.w.Breachf("order %s is %s, and its payment is %+v, want %+v", o.ID, o.Status, p, want)
		}
	}
	for id, n := range s.books.stock {
		if n != left[id] || n != initialStock+s.books.moved[id] || n < 0 {
			s.w.Breachf("of book %d there are %d, orders left %d, the movements %d", id, n, left[id], initialStock+s.books.moved[id])
		}
	}
	for id, p := range s.payments.payments {
		if _, there := s.orders.rows[id]; !there && (p.state == "authorised" || p.state == "captured") {
			s.w.Breachf("the payment of %s is %s, and there is no such order", id, p.state)
		}
	}
}
