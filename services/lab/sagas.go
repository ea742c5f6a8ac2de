package lab

import (
	"context"
	"errors"
	"maps"
)

// saga is one that is over.
type saga struct {
	id, definition, order string
	completed             bool
	pays                  bool // a step of it takes or returns money
}

const selectSagas = `
select id::text, definition, state = 'completed', coalesce(data->'order'->>'id', data->>'orderId', ''),
	steps @> '[{"name":"capture"}]' or steps @> '[{"name":"refund"}]'
from sagas where finished_at is not null`

func (a *account) readSagas(ctx context.Context, s *Shop) error {
	var one saga
	var order, state string
	return errors.Join(
		each(ctx, s, CoordinatorDB, selectSagas, []any{&one.id, &one.definition, &one.completed, &one.order, &one.pays}, func() {
			a.sagas = append(a.sagas, one)
		}),
		each(ctx, s, PaymentDB, "select order_id::text, state from payments", []any{&order, &state}, func() { a.paid[order] = state }),
	)
}

// sagasMoveTheirLines: a checkout that is completed has taken its order's lines
// and its money, a return has brought both back, and one that failed has left
// nothing. Each order is checked out once and returned once at most.
func (a *account) sagasMoveTheirLines() {
	done := map[string]map[string]saga{"checkout": {}, "return": {}}
	for _, s := range a.sagas {
		switch {
		case !s.completed:
			a.leavesNothing(s)
		case done[s.definition][s.order].id != "":
			a.problemf("order %s: %s twice, %s and %s", s.order, s.definition, done[s.definition][s.order].id, s.id)
		default:
			done[s.definition][s.order] = s
			sign := int64(-1)
			if s.definition == "return" {
				sign = 1
			}
			if want := a.sold[s.order].times(sign); !maps.Equal(a.moved[s.id], want) {
				a.problemf("%s %s of order %s moved %v, its lines are %v", s.definition, s.id, s.order, a.moved[s.id], want)
			}
			delete(a.moved, s.id)
		}
	}
	for order, status := range a.status {
		a.standsAs(order, status, done["checkout"][order], done["return"][order])
	}
	for order, state := range a.paid {
		if state == "authorised" || (state == "captured" && a.status[order] != "paid") {
			a.problemf("order %s is %q, and its payment %s", order, a.status[order], state)
		}
	}
}

// leavesNothing: what failed or was cancelled has no movements left, and a
// checkout no order.
func (a *account) leavesNothing(s saga) {
	if moved := a.moved[s.id]; len(moved) > 0 {
		a.problemf("%s %s came to nothing and moved %v", s.definition, s.id, moved)
		delete(a.moved, s.id)
	}
	if status := a.status[s.order]; s.definition == "checkout" && status != "" && status != "cancelled" {
		a.problemf("checkout %s came to nothing, and its order %s is %s", s.id, s.order, status)
	}
}

// standsAs holds an order against the sagas that made it what it is.
func (a *account) standsAs(order, status string, checkout, back saga) {
	bought := status == "paid" || status == "returned"
	switch money := a.paid[order]; {
	case bought != checkout.completed || (status == "returned") != back.completed:
		a.problemf("order %s is %s; its checkout is %q, its return %q", order, status, checkout.id, back.id)
	case status == "paid" && checkout.pays && money != "captured", status == "returned" && back.pays && money != "refunded":
		a.problemf("order %s is %s, and its payment %q", order, status, money)
	}
}
