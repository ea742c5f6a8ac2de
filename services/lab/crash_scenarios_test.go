package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"bookstore/services/lab"
)

// scenario is a story that has one right end, whoever dies while it is told.
type scenario struct {
	name  string
	stock int64                               // of each book
	given func(context.Context, *visit) error // nil: nothing more
	when  func(context.Context, *visit) error // watched
	then  func(context.Context, *visit) error // at rest
}

var scenarios = []scenario{
	{
		name: "place an order", stock: 5,
		when: func(ctx context.Context, v *visit) error { return v.place(ctx) },
		then: func(ctx context.Context, v *visit) error { return v.bought(ctx, "placed") },
	},
	{
		name: "cancel an order", stock: 5,
		given: func(ctx context.Context, v *visit) error { return v.place(ctx) },
		when:  func(ctx context.Context, v *visit) error { return v.cancel(ctx) },
		then:  func(ctx context.Context, v *visit) error { return v.undone(ctx, "cancelled") },
	},
	{
		name: "ask for more than there is", stock: 1,
		when: func(ctx context.Context, v *visit) error {
			a, err := v.want(ctx, http.StatusConflict, "/orders", v.request(), v.key)
			if err == nil && a.code() != "out_of_stock" {
				err = fmt.Errorf("POST /orders: %v", a)
			}
			return err
		},
		then: func(ctx context.Context, v *visit) error { return v.nothing(ctx) },
	},
}

func (v *visit) request() map[string]any {
	return map[string]any{"customerId": v.key, "items": v.items()}
}

func (v *visit) place(ctx context.Context) error {
	a, err := v.want(ctx, http.StatusCreated, "/orders", v.request(), v.key)
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, &v.order)
}

// cancel is a request of its own, with a key of its own.
func (v *visit) cancel(ctx context.Context) error {
	a, err := v.want(ctx, http.StatusOK, "/orders/"+v.order.ID+"/cancel", nil, v.key+"-cancel")
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, &v.order)
}

// bought: the one order that the customer was told of is there, and its copies are gone.
func (v *visit) bought(ctx context.Context, status string) error {
	return errors.Join(v.one(ctx, status), v.left(ctx, func(i int) int64 { return v.stock - bought[i] }))
}

// undone: the one order is there still, and its copies are back.
func (v *visit) undone(ctx context.Context, status string) error {
	return errors.Join(v.one(ctx, status), v.left(ctx, func(int) int64 { return v.stock }))
}

// nothing: there is no order that stands, and no copy is gone.
func (v *visit) nothing(ctx context.Context) error {
	n, err := v.number(ctx, lab.OrderDB, "select count(*) from orders where customer_id = $1 and status <> 'cancelled'", v.key)
	if err == nil && n != 0 {
		err = fmt.Errorf("there are %d orders", n)
	}
	return errors.Join(err, v.left(ctx, func(int) int64 { return v.stock }))
}

func (v *visit) one(ctx context.Context, status string) error {
	var read orderSeen
	if err := v.look(ctx, lab.Orders, "/orders/"+v.order.ID, &read); err != nil {
		return err
	}
	total := int64(0)
	for _, copies := range bought {
		total += copies * lab.Price
	}
	if want := (orderSeen{ID: v.order.ID, Status: status, TotalCents: total}); read != want {
		return fmt.Errorf("the order is %+v, want %+v", read, want)
	}
	n, err := v.number(ctx, lab.OrderDB, "select count(*) from orders where customer_id = $1", v.key)
	if err == nil && n != 1 {
		err = fmt.Errorf("there are %d orders", n)
	}
	return err
}

func (v *visit) left(ctx context.Context, want func(i int) int64) error {
	for i, id := range v.books {
		n, err := v.number(ctx, lab.BookDB, "select quantity from stock where book_id = $1", id)
		if err == nil && n != want(i) {
			err = fmt.Errorf("book %d: %d copies are left, want %d", id, n, want(i))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
