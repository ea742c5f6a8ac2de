//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"bookstore/services/shoptest"

	"bookstore/services/shoptest/cluster"
)

func badCheckouts(id int64) []bad {
	item := fmt.Sprintf(`{"bookId":%d,"quantity":1}`, id)
	body := func(customer, items, payment, more string) string {
		return fmt.Sprintf(`{"customerId":%q,"items":[%s],"payment":%s%s}`, customer, items, payment, more)
	}
	post := func(name, body string, status int, code, field string) bad {
		k := shoptest.Call{Method: "POST", Path: "/checkouts", Body: body, Header: map[string]string{"Idempotency-Key": uuid.NewString()}}
		return bad{name, k, status, code, field}
	}
	withKey := func(name, key string, status int, code, field string) bad {
		b := post(name, body("bad", item, `{"method":"card","token":"tok_ok"}`, ""), status, code, field)
		b.call.Header["Idempotency-Key"] = key
		return b
	}
	const broken, invalid, card = "malformed_request", "invalid_field", `{"method":"card","token":"tok_ok"}`
	return []bad{
		post("unknown field", body("bad", item, card, `,"coupon":"x"`), 400, broken, "coupon"),
		post("unknown field of the payment", body("bad", item, `{"method":"card","token":"tok_ok","cvc":1}`, ""), 400, broken, "payment.cvc"),
		post("text for a truth", body("bad", item, card, `,"requiresApproval":"yes"`), 400, broken, "requiresApproval"),
		post("text for a payment", body("bad", item, `"card"`, ""), 400, broken, "payment"),
		post("NUL in the token", body("bad", item, `{"method":"card","token":"tok\u0000ok"}`, ""), 400, broken, "payment.token"),
		post("trailing data", body("bad", item, card, "")+"{}", 400, broken, ""),
		post("no payment", fmt.Sprintf(`{"customerId":"bad","items":[%s]}`, item), 422, invalid, "payment.method"),
		post("no method", body("bad", item, `{"token":"tok_ok"}`, ""), 422, invalid, "payment.method"),
		post("no such method", body("bad", item, `{"method":"barter","token":"tok_ok"}`, ""), 422, invalid, "payment.method"),
		post("no token", body("bad", item, `{"method":"card"}`, ""), 422, invalid, "payment.token"),
		post("long token", body("bad", item, `{"method":"card","token":"`+strings.Repeat("t", 5000)+`"}`, ""), 422, invalid, "payment.token"),
		post("no items", body("bad", "", card, ""), 422, invalid, "items"),
		post("no copies", body("bad", fmt.Sprintf(`{"bookId":%d,"quantity":0}`, id), card, ""), 422, invalid, "items[0].quantity"),
		post("the same book twice", body("bad", item+","+item, card, ""), 422, invalid, "items[1].bookId"),
		post("unknown book", body("bad", item+`,{"bookId":999999999999,"quantity":1}`, card, ""), 422, "book_not_found", "items[1].bookId"),
		post("no customer", body("", item, card, ""), 422, invalid, "customerId"),
		post("long customer", body(strings.Repeat("x", 5000), item, card, ""), 422, invalid, "customerId"),
		withKey("no key", "", 400, "idempotency_key_required", ""),
		withKey("long key", strings.Repeat("k", 129), 422, invalid, "Idempotency-Key"),
		withKey("key with a space", "a b", 422, invalid, "Idempotency-Key"),
	}
}

// Whatever is sent, the answer is a problem that says what is wrong and where: no saga
// begins, no copy and no money moves.
func TestBadCheckoutsAreRefused(t *testing.T) {
	c := shoptest.Shop(t)
	b := c.AddBook(t, "Good among bad checkouts", 5)
	const under = "select count(*) from sagas where wake_at is not null or state = 'completed'"
	before, payments := cluster.Number(t, cluster.Leader(t, "coordinatordb"), under), cluster.Number(t, cluster.Leader(t, "paymentdb"), "select count(*) from payments")
	for _, bad := range badCheckouts(b.ID) {
		t.Run(bad.name, func(t *testing.T) {
			a := c.Do(t, bad.call)
			p := requireProblem(t, a, bad.status, bad.code)
			named := bad.field == ""
			for _, e := range p.Errors {
				named = named || (e.Field == bad.field && e.Code != "" && e.Detail != "")
			}
			if !named {
				t.Errorf("the problem does not name %q: %s", bad.field, a.Body)
			}
		})
	}
	if after := cluster.Number(t, cluster.Leader(t, "coordinatordb"), under); after != before {
		t.Errorf("%d sagas have begun", after-before)
	}
	if after := cluster.Number(t, cluster.Leader(t, "paymentdb"), "select count(*) from payments"); after != payments {
		t.Errorf("%d payments were made", after-payments)
	}
	if left := c.Available(t, b.ID); left != 5 {
		t.Errorf("%d copies left of 5", left)
	}
}
