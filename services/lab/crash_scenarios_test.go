package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"time"

	"bookstore/services/lab"
	"bookstore/services/shoptest"
)

// scenario is a sequence of requests that has one right result, whichever process dies meanwhile.
type scenario struct {
	name  string
	stock int64 // of each book
	given []action
	when  []action // watched
	then  []action // at rest
}

// action is a part of a scenario; its error says what is not as it should be.
type action func(context.Context, *session) error

var scenarios = append(orderScenarios, sagaScenarios...)

var orderScenarios = []scenario{
	{
		name: "place an order", stock: 5,
		when: []action{place},
		then: []action{bought("placed")},
	},
	{
		name: "cancel an order", stock: 5,
		given: []action{place},
		when:  []action{cancel},
		then:  []action{undone("cancelled")},
	},
	{
		name: "order more than there is", stock: 1,
		when: []action{placeTooMuch},
		then: []action{nothing},
	},
}

// do runs actions one after the other, up to the first that fails.
func (v *session) do(ctx context.Context, actions []action) error {
	for _, act := range actions {
		if err := act(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (v *session) request() map[string]any {
	return map[string]any{"customerId": v.key, "items": v.items()}
}

func place(ctx context.Context, v *session) error {
	_, err := v.send(ctx, http.StatusCreated, "/orders", v.request(), v.key, &v.order)
	return err
}

func placeTooMuch(ctx context.Context, v *session) error {
	a, err := v.send(ctx, http.StatusConflict, "/orders", v.request(), v.key, nil)
	if err == nil && a.Problem().Code != "out_of_stock" {
		err = fmt.Errorf("POST /orders: %v", a)
	}
	return err
}

// cancel is a request of its own, with a key of its own.
func cancel(ctx context.Context, v *session) error {
	_, err := v.send(ctx, http.StatusOK, "/orders/"+v.order.ID+"/cancel", nil, v.key+"-cancel", &v.order)
	return err
}

// bought: the one acknowledged order is there, and its copies are gone.
func bought(status string) action {
	return func(ctx context.Context, v *session) error {
		return errors.Join(v.one(ctx, status), v.left(ctx, func(i int) int64 { return v.stock - copies[i] }))
	}
}

// undone: the one order is there still, and its copies are back.
func undone(status string) action {
	return func(ctx context.Context, v *session) error {
		return errors.Join(v.one(ctx, status), v.left(ctx, func(int) int64 { return v.stock }))
	}
}

// nothing: there is no order, and no copy is gone.
func nothing(ctx context.Context, v *session) error {
	n, err := v.number(ctx, lab.OrderDB, "select count(*) from orders where customer_id = $1", v.key)
	if err == nil && n != 0 {
		err = fmt.Errorf("there are %d orders", n)
	}
	return errors.Join(err, v.left(ctx, func(int) int64 { return v.stock }))
}

func (v *session) one(ctx context.Context, status string) error {
	var read orderSeen
	if err := v.read(ctx, lab.Orders, "/orders/"+v.order.ID, &read); err != nil {
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

func (v *session) left(ctx context.Context, want func(i int) int64) error {
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

var sagaScenarios = []scenario{
	{
		name: "check out", stock: 5,
		when: []action{checkOut("tok_ok", "completed")},
		then: []action{paid, bought("paid"), money(1)},
	},
	{
		name: "check out after an approval", stock: 5,
		when: []action{checkOut("tok_ok", "waiting_approval"), decide("approve", "completed")},
		then: []action{paid, bought("paid"), money(1)},
	},
	{
		name: "cancel a checkout that waits for approval", stock: 5,
		when: []action{checkOut("tok_ok", "waiting_approval"), decide("cancel", "cancelled")},
		then: []action{nothing, money(0)},
	},
	{
		name: "cancel a checkout whose payment hangs", stock: 5,
		when: []action{checkOut("tok_hang", "running"), reach("authorise"), decide("cancel", "cancelled")},
		then: []action{nothing, money(0)},
	},
	{
		name: "check out with a card that is declined in the end", stock: 5,
		when: []action{checkOut("tok_decline_capture", "failed")},
		then: []action{nothing, money(0)},
	},
	{
		name: "check out more than there is", stock: 1,
		when: []action{checkOut("tok_ok", "failed")},
		then: []action{nothing, money(0)},
	},
	{
		name: "return an order", stock: 5,
		given: []action{checkOut("tok_ok", "completed"), paid},
		when:  []action{giveBack},
		then:  []action{undone("returned"), money(0)},
	},
}

// checkOut starts a checkout and waits for it to come to a state.
func checkOut(token, state string) action {
	return func(ctx context.Context, v *session) error {
		body := v.request()
		body["payment"] = map[string]string{"method": "card", "token": token}
		body["requiresApproval"] = state == "waiting_approval"
		return v.begin(ctx, "/checkouts", body, v.key, state)
	}
}

func giveBack(ctx context.Context, v *session) error {
	return v.begin(ctx, "/orders/"+v.order.ID+"/returns", nil, v.key+"-return", "completed")
}

func (v *session) begin(ctx context.Context, path string, body any, key, state string) error {
	a, err := v.send(ctx, http.StatusAccepted, path, body, key, nil)
	if err != nil {
		return err
	}
	v.path = a.Header.Get("Location")
	return v.await(ctx, state)
}

// decide approves or cancels the checkout.
func decide(verb, state string) action {
	return func(ctx context.Context, v *session) error {
		if _, err := v.send(ctx, http.StatusOK, v.path+"/"+verb, nil, "", nil); err != nil {
			return err
		}
		return v.await(ctx, state)
	}
}

// reach waits until a step has been begun.
func reach(step string) action {
	return func(ctx context.Context, v *session) error {
		return v.until(ctx, "running", `select s->>'state' from sagas, jsonb_array_elements(steps) s
			where id = $1 and s->>'name' = $2`, path.Base(v.path), step)
	}
}

func (v *session) await(ctx context.Context, state string) error {
	return v.until(ctx, state, "select state from sagas where id = $1", path.Base(v.path))
}

// until polls the database: requests to the coordinator would be messages too, a
// different number in each run.
func (v *session) until(ctx context.Context, state, sql string, args ...any) error {
	limit, cancel := context.WithTimeout(ctx, restLimit)
	defer cancel()
	return lab.Until(limit, func(ctx context.Context) error {
		var now string
		err := v.site.shop.DB(lab.CoordinatorDB).QueryRow(ctx, sql, args...).Scan(&now)
		if err == nil && now != state {
			err = fmt.Errorf("%s is %s, not %s", v.path, now, state)
		}
		return err
	})
}

// paid: the checkout shows its order.
func paid(ctx context.Context, v *session) error {
	var shown struct{ State, OrderID string }
	if err := v.read(ctx, lab.Coordinator, v.path, &shown); err != nil {
		return err
	}
	if shown.State != "completed" || shown.OrderID == "" {
		return fmt.Errorf("%s is %+v", v.path, shown)
	}
	v.order.ID = shown.OrderID
	return nil
}

// money: the merchant has been paid so many times, and nothing is held.
func money(times int64) action {
	const of = `select coalesce(sum(e.cents), 0)::bigint from ledger_entries e join payments p on p.id = e.payment_id
		where p.order_id::text = any($1) and e.account = $2`
	return func(ctx context.Context, v *session) error {
		orders, err := v.orders(ctx)
		if err != nil {
			return err
		}
		for account, want := range map[string]int64{"merchant": times * total(), "held": 0, "customer": -times * total()} {
			n, err := v.number(ctx, lab.PaymentDB, of, orders, account)
			if err == nil && n != want {
				err = fmt.Errorf("the account %s has %d, want %d", account, n, want)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// orders are the ids of the orders of the session's sagas, made or not.
func (v *session) orders(ctx context.Context) (ids []string, err error) {
	err = v.site.shop.DB(lab.CoordinatorDB).QueryRow(ctx, `select coalesce(array_agg(data->'order'->>'id'), '{}')
		from sagas where definition = 'checkout' and data->'order'->>'customerId' = $1`, v.key).Scan(&ids)
	return ids, err
}

// session is one customer's run of a scenario, with books that nobody else buys.
type session struct {
	site  *site
	key   string // the idempotency key; the customer's name too
	books []int64
	stock int64 // of each book, before
	order orderSeen
	path  string // of the checkout or return
}

// orderSeen is an order as the API shows it.
type orderSeen struct {
	ID, Status string
	TotalCents int64
}

// copies are how many are bought of each book.
var copies = []int64{2, 1}

func (v *session) addBooks(ctx context.Context, stock int64) error {
	v.stock = stock
	for n := range copies {
		book := map[string]any{
			"title": fmt.Sprintf("%s %d", v.key, n), "authors": []string{"A"}, "priceCents": lab.Price, "currency": "EUR", "quantity": stock,
		}
		var made struct{ ID int64 }
		_, err := persist(ctx, v.site.shop.URL(lab.Books), http.StatusCreated, shoptest.Call{Method: http.MethodPost, Path: "/books", Body: book}, &made)
		if err != nil {
			return err
		}
		v.books = append(v.books, made.ID)
	}
	return nil
}

func (v *session) items() (items []shoptest.OrderItem) {
	for i, id := range v.books {
		items = append(items, shoptest.OrderItem{BookID: id, Quantity: copies[i]})
	}
	return items
}

// send makes a request through the watched front, until it has an answer that is final.
func (v *session) send(ctx context.Context, status int, path string, body any, key string, into any) (*shoptest.Answer, error) {
	return persist(ctx, v.site.front, status,
		shoptest.Call{Method: http.MethodPost, Path: path, Body: body, Header: map[string]string{"Idempotency-Key": key}}, into)
}

// read reads what the API shows now, unwatched.
func (v *session) read(ctx context.Context, name lab.Service, path string, into any) error {
	_, err := persist(ctx, v.site.shop.URL(name), http.StatusOK, shoptest.Call{Method: http.MethodGet, Path: path}, into)
	return err
}

// persist makes a call until it has a final answer, which has to be of this status. Each attempt has a connection of its own.
func persist(ctx context.Context, base string, status int, k shoptest.Call, into any) (*shoptest.Answer, error) {
	c := shoptest.Client{Base: base, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}}
	a, err := c.Persist(ctx, k, shoptest.Inconclusive)
	if err != nil {
		return nil, err
	}
	if a.Status != status {
		return nil, fmt.Errorf("%s %s: %v, want %d", k.Method, k.Path, a, status)
	}
	if into != nil {
		err = json.Unmarshal(a.Body, into)
	}
	return a, err
}

func (v *session) number(ctx context.Context, database, sql string, args ...any) (n int64, err error) {
	err = v.site.shop.DB(database).QueryRow(ctx, sql, args...).Scan(&n)
	return n, err
}
