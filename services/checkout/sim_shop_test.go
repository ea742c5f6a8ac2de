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
	"bookstore/services/txn/twophase"
)

// books is the books service over its database.
type books struct {
	*database
	stock, price map[int64]int64 // under the database's mu
	moved        map[int64]int64
}

// initialStock makes some orders fail.
const initialStock = 4

func newBooks(w *world) *books {
	b := &books{newDatabase(w, "books"), map[int64]int64{}, map[int64]int64{}, map[int64]int64{}}
	for id := range int64(3) {
		b.stock[id+1], b.price[id+1] = initialStock, 100*(id+1)
	}
	return b
}

// change is the payload of the books branch.
type reservation struct {
	Action string
	Lines  []struct{ BookID, Quantity, UnitPriceCents int64 }
}

func (b *books) apply(payload []byte) func(*change) error {
	return func(c *change) error {
		var r reservation
		if err := json.Unmarshal(payload, &r); err != nil {
			return err
		}
		slices.SortFunc(r.Lines, func(x, y struct{ BookID, Quantity, UnitPriceCents int64 }) int {
			return cmp.Compare(x.BookID, y.BookID)
		})
		for _, line := range r.Lines {
			id, delta := line.BookID, line.Quantity
			if err := b.lock(c, fmt.Sprint("stock ", id)); err != nil {
				return err
			}
			err := b.moment(c.life, func() error {
				if r.Action == "reserve" {
					delta = -delta
				}
				switch {
				case r.Action == "reserve" && line.UnitPriceCents != b.price[id]:
					return fault.New(kinds.PriceChanged, "the price has changed")
				case b.stock[id]+delta < 0:
					return fault.New(kinds.OutOfStock, "too few copies")
				}
				c.effects = append(c.effects, func() {
					b.stock[id] += delta
					b.moved[id] += delta
				})
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// Quote implements checkout.Quoter at the service itself.
func (b *books) quote(ids []int64) ([]checkout.Quote, error) {
	life, err := b.connect()
	if err != nil {
		return nil, err
	}
	var quotes []checkout.Quote
	err = b.moment(life, func() error {
		for _, id := range ids {
			quotes = append(quotes, checkout.Quote{BookID: id, Title: "T", UnitPriceCents: b.price[id], Currency: "EUR"})
		}
		return nil
	})
	return quotes, err
}

// orders is the orders service over its database.
type orders struct {
	*database
	rows map[string]checkout.Order // under the database's mu
}

func newOrders(w *world) *orders {
	return &orders{newDatabase(w, "orders"), map[string]checkout.Order{}}
}

func (o *orders) apply(payload []byte) func(*change) error {
	return func(c *change) error {
		var p struct {
			Action, OrderID string
			Order           checkout.Order
		}
		if err := json.Unmarshal(payload, &p); err != nil {
			return err
		}
		if p.Action == "place" {
			return o.moment(c.life, func() error {
				placed := p.Order
				placed.Status, placed.Version, placed.UpdatedAt = checkout.StatusPlaced, 1, placed.CreatedAt
				c.effects = append(c.effects, func() { o.rows[placed.ID] = placed })
				return nil
			})
		}
		if err := o.lock(c, "order "+p.OrderID); err != nil {
			return err
		}
		return o.moment(c.life, func() error {
			row, there := o.rows[p.OrderID]
			switch {
			case !there:
				return fault.New(kinds.OrderNotFound, "there is no such order")
			case row.Status != checkout.StatusPlaced:
				return fault.New(kinds.NotCancellable, "it is "+row.Status)
			}
			c.effects = append(c.effects, func() {
				row.Status, row.Version = checkout.StatusCancelled, row.Version+1
				o.rows[row.ID] = row
			})
			return nil
		})
	}
}

func (o *orders) read(id string) (order checkout.Order, err error) {
	life, err := o.connect()
	if err != nil {
		return order, err
	}
	err = o.moment(life, func() error {
		var there bool
		if order, there = o.rows[id]; !there {
			return fault.New(kinds.OrderNotFound, "there is no such order")
		}
		return nil
	})
	return order, err
}

// remote is a participant as one coordinator reaches it.
type remote struct {
	*process
	*database
	apply func([]byte) func(*change) error
}

var _ twophase.Participant = remote{}

func (r remote) call(ctx context.Context, op string, m twophase.Message, do func() error) error {
	name := fmt.Sprintf("%s: %s %s at %s", r.process.name, op, m.GID, r.database.name)
	_, err := send(ctx, r.process, name, func() (struct{}, error) {
		err := do()
		if err != nil && fault.KindOf(err) == fault.Lost {
			r.process.w.lost(name, m.GID)
		}
		return struct{}{}, err
	})
	return err
}

// Prepare implements twophase.Participant.
func (r remote) Prepare(ctx context.Context, m twophase.Message, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	err = r.call(ctx, "prepare", m, func() error { return r.prepare(m, r.apply(body)) })
	if r.process.w.defect == hopeful && fault.Unknown(err) {
		return nil
	}
	return err
}

// Commit implements twophase.Participant.
func (r remote) Commit(ctx context.Context, m twophase.Message) error {
	err := r.call(ctx, "commit", m, func() error { return r.commit(m) })
	if r.process.w.defect == careless && fault.Unknown(err) {
		return nil
	}
	return err
}

// Abort implements twophase.Participant.
func (r remote) Abort(ctx context.Context, m twophase.Message) error {
	return r.call(ctx, "abort", m, func() error { return r.abort(m) })
}

// reads is what a coordinator reads at the services.
type reads struct{ *process }

// Quote implements checkout.Quoter.
func (r reads) Quote(ctx context.Context, ids []int64) ([]checkout.Quote, error) {
	return send(ctx, r.process, r.name+": quote", func() ([]checkout.Quote, error) { return r.w.books.quote(ids) })
}

// Order implements checkout.OrderReader.
func (r reads) Order(ctx context.Context, id string) (checkout.Order, error) {
	return send(ctx, r.process, r.name+": order "+id, func() (checkout.Order, error) { return r.w.orders.read(id) })
}
