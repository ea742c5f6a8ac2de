package lab_test

import (
	"context"
	"fmt"
	"net/http"
	"path"

	"bookstore/services/lab"
)

var sagaScenarios = []scenario{
	{
		name: "check out", stock: 5,
		when: []act{checkOut("tok_ok", "completed")},
		then: []act{paid, bought("paid"), money(1)},
	},
	{
		name: "check out after an approval", stock: 5,
		when: []act{checkOut("tok_ok", "waiting_approval"), tell("approve", "completed")},
		then: []act{paid, bought("paid"), money(1)},
	},
	{
		name: "cancel a checkout that waits for approval", stock: 5,
		when: []act{checkOut("tok_ok", "waiting_approval"), tell("cancel", "cancelled")},
		then: []act{nothing, money(0)},
	},
	{
		name: "cancel a checkout whose payment hangs", stock: 5,
		when: []act{checkOut("tok_hang", "running"), reach("authorise"), tell("cancel", "cancelled")},
		then: []act{nothing, money(0)},
	},
	{
		name: "check out with a card that is declined in the end", stock: 5,
		when: []act{checkOut("tok_decline_capture", "failed")},
		then: []act{nothing, money(0)},
	},
	{
		name: "check out more than there is", stock: 1,
		when: []act{checkOut("tok_ok", "failed")},
		then: []act{nothing, money(0)},
	},
	{
		name: "return an order", stock: 5,
		given: []act{checkOut("tok_ok", "completed"), paid},
		when:  []act{giveBack},
		then:  []act{undone("returned"), money(0)},
	},
}

// checkOut starts a checkout and waits for it to come to a state.
func checkOut(token, state string) act {
	return func(ctx context.Context, v *visit) error {
		body := v.request()
		body["payment"] = map[string]string{"method": "card", "token": token}
		body["requiresApproval"] = state == "waiting_approval"
		return v.begin(ctx, "/checkouts", body, v.key, state)
	}
}

func giveBack(ctx context.Context, v *visit) error {
	return v.begin(ctx, "/orders/"+v.order.ID+"/returns", nil, v.key+"-return", "completed")
}

func (v *visit) begin(ctx context.Context, path string, body any, key, state string) error {
	a, err := v.want(ctx, http.StatusAccepted, path, body, key)
	if err != nil {
		return err
	}
	v.path = a.header.Get("Location")
	return v.await(ctx, state)
}

// tell sends a decision about what was begun.
func tell(verb, state string) act {
	return func(ctx context.Context, v *visit) error {
		if _, err := v.want(ctx, http.StatusOK, v.path+"/"+verb, nil, ""); err != nil {
			return err
		}
		return v.await(ctx, state)
	}
}

// reach waits until a step has been begun.
func reach(step string) act {
	return func(ctx context.Context, v *visit) error {
		return v.until(ctx, "running", `select s->>'state' from sagas, jsonb_array_elements(steps) s
			where id = $1 and s->>'name' = $2`, path.Base(v.path), step)
	}
}

func (v *visit) await(ctx context.Context, state string) error {
	return v.until(ctx, state, "select state from sagas where id = $1", path.Base(v.path))
}

// until looks into the database: questions to the coordinator would be messages too, a
// different number in each run.
func (v *visit) until(ctx context.Context, state, sql string, args ...any) error {
	limit, cancel := context.WithTimeout(ctx, settleLimit)
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
func paid(ctx context.Context, v *visit) error {
	var shown struct{ State, OrderID string }
	if err := v.look(ctx, lab.Coordinator, v.path, &shown); err != nil {
		return err
	}
	if shown.State != "completed" || shown.OrderID == "" {
		return fmt.Errorf("%s is %+v", v.path, shown)
	}
	v.order.ID = shown.OrderID
	return nil
}

// money: the merchant has been paid so many times, and nothing is held.
func money(times int64) act {
	const of = `select coalesce(sum(e.cents), 0)::bigint from ledger_entries e join payments p on p.id = e.payment_id
		where p.order_id::text = any($1) and e.account = $2`
	return func(ctx context.Context, v *visit) error {
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

// orders are the ids of the orders that the visit's sagas are about, made or not.
func (v *visit) orders(ctx context.Context) (ids []string, err error) {
	err = v.site.shop.DB(lab.CoordinatorDB).QueryRow(ctx, `select coalesce(array_agg(data->'order'->>'id'), '{}')
		from sagas where definition = 'checkout' and data->'order'->>'customerId' = $1`, v.key).Scan(&ids)
	return ids, err
}
