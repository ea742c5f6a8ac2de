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
	stock int64 // of each book
	given []act
	when  []act // watched
	then  []act // at rest
}

// act is a part of a story; its error says what is not as it should be.
type act func(context.Context, *visit) error

var scenarios = append(orderScenarios, sagaScenarios...)

var orderScenarios = []scenario{
	{
		name: "place an order", stock: 5,
		when: []act{place},
		then: []act{bought("placed")},
	},
	{
		name: "cancel an order", stock: 5,
		given: []act{place},
		when:  []act{cancel},
		then:  []act{undone("cancelled")},
	},
	{
		name: "order more than there is", stock: 1,
		when: []act{placeTooMuch},
		then: []act{nothing},
	},
}

// in does the parts of a story one after the other, up to the first that fails.
func (v *visit) in(ctx context.Context, acts []act) error {
	for _, do := range acts {
		if err := do(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) request() map[string]any {
	return map[string]any{"customerId": v.key, "items": v.items()}
}

func place(ctx context.Context, v *visit) error {
	a, err := v.want(ctx, http.StatusCreated, "/orders", v.request(), v.key)
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, &v.order)
}

func placeTooMuch(ctx context.Context, v *visit) error {
	a, err := v.want(ctx, http.StatusConflict, "/orders", v.request(), v.key)
	if err == nil && a.code() != "out_of_stock" {
		err = fmt.Errorf("POST /orders: %v", a)
	}
	return err
}

// cancel is a request of its own, with a key of its own.
func cancel(ctx context.Context, v *visit) error {
	a, err := v.want(ctx, http.StatusOK, "/orders/"+v.order.ID+"/cancel", nil, v.key+"-cancel")
	if err != nil {
		return err
	}
	return json.Unmarshal(a.body, &v.order)
}

// bought: the one order that the customer was told of is there, and its copies are gone.
func bought(status string) act {
	return func(ctx context.Context, v *visit) error {
		return errors.Join(v.one(ctx, status), v.left(ctx, func(i int) int64 { return v.stock - copies[i] }))
	}
}

// undone: the one order is there still, and its copies are back.
func undone(status string) act {
	return func(ctx context.Context, v *visit) error {
		return errors.Join(v.one(ctx, status), v.left(ctx, func(int) int64 { return v.stock }))
	}
}

// nothing: there is no order, and no copy is gone.
func nothing(ctx context.Context, v *visit) error {
	n, err := v.number(ctx, lab.OrderDB, "select count(*) from orders where customer_id = $1", v.key)
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
	if want := (orderSeen{ID: v.order.ID, Status: status, TotalCents: total()}); read != want {
		return fmt.Errorf("the order is %+v, want %+v", read, want)
	}
	n, err := v.number(ctx, lab.OrderDB, "select count(*) from orders where customer_id = $1", v.key)
	if err == nil && n != 1 {
		err = fmt.Errorf("there are %d orders", n)
	}
	return err
}

// total is what the order costs.
func total() (cents int64) {
	for _, n := range copies {
		cents += n * lab.Price
	}
	return cents
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
