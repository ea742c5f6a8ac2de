package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"

	"bookstore/services/shoptest"
	"bookstore/services/shoptest/hosts"
)

// members are the services whose every instance is its job's, of the job's name but for Patroni's own.
var members = map[string]string{
	"books": "books", "orders": "orders", "payments": "payments", "coordinator": "coordinator", "gateway": "gateway", "ingress": "ingress",
	"patroni": "patroni", "patroni-rest": "patroni",
}

// Count is how many instances a job is to have.
func Count(ctx context.Context, t testing.TB, job string) (count int, err error) {
	t.Helper()
	known, _, err := Nomad(t).Jobs().Info(job, (&nomad.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return 0, err
	}
	for _, group := range known.TaskGroups {
		count += *group.Count
	}
	return count, nil
}

// Whole is nil when nothing is missing: as many instances of every service as its job has, each address of the shop answers, a
// leader and standbys any of which a commit may wait for, all nodes of Redis, no open circuit. What costs
// least is checked first.
func Whole(ctx context.Context, t testing.TB) error {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		entries, err := Healthy(ctx, t, name, "")
		if err != nil {
			return err
		}
		wanted, err := Count(ctx, t, members[name])
		if err != nil {
			return err
		}
		if len(entries) != wanted {
			return fmt.Errorf("%d instances of %s are healthy, not %d", len(entries), name, wanted)
		}
	}
	if err := doorsAnswer(ctx, t); err != nil {
		return err
	}
	if err := PostgresWhole(ctx, t); err != nil {
		return err
	}
	if err := RedisWhole(ctx, t); err != nil {
		return err
	}
	// The mesh may eject an instance for longer than it is unhealthy: the gateway must reach them all.
	entries, err := Healthy(ctx, t, "gateway", "")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if health, err := Health(ctx, e); err != nil || health.Status != "ok" {
			return fmt.Errorf("the gateway's health is %q: %w", health.Status, err)
		}
	}
	return circuitsAreClosed(ctx, t)
}

// doorsAnswer is nil when each address of the shop answers. A machine of the lab that has no ingress has none.
func doorsAnswer(ctx context.Context, t testing.TB) error {
	t.Helper()
	entries, err := Healthy(ctx, t, "ingress", "")
	if err != nil {
		return err
	}
	for _, door := range shoptest.Operator(t).Each() {
		here := func(e *consul.ServiceEntry) bool { return strings.Contains(door.Base, "//"+e.Service.Address+":") }
		if hosts.InUse() && !slices.ContainsFunc(entries, here) {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, getPatience)
		a, err := door.Try(bounded, shoptest.Call{Method: http.MethodGet, Path: throughCircuits[0]})
		cancel()
		if err != nil || a.Status >= http.StatusInternalServerError {
			return fmt.Errorf("%s: %v %w", door.Base, a, err)
		}
	}
	return nil
}

// throughCircuits are reads behind each of the gateway's circuits, none of which a cache answers.
var throughCircuits = []string{"/books/1/availability", "/orders?customerId=nobody", "/transactions?limit=1"}

// circuitsAreClosed is nil when no gateway holds calls back from a service. A circuit whose
// time is over closes with the next call that is answered, so each check makes some.
func circuitsAreClosed(ctx context.Context, t testing.TB) error {
	t.Helper()
	all, err := Measured(ctx, t, "gateway")
	if err != nil {
		return err
	}
	op := shoptest.Operator(t)
	for _, path := range throughCircuits {
		for range 2 * len(all) {
			a, err := op.Try(ctx, shoptest.Call{Method: "GET", Path: path})
			if err != nil || a.Status >= http.StatusInternalServerError {
				return fmt.Errorf("GET %s: %v %w", path, a, err)
			}
		}
	}
	if all, err = Measured(ctx, t, "gateway"); err != nil {
		return err
	}
	for gateway, s := range all {
		for _, destination := range []string{"books", "orders", "coordinator"} {
			if s.Sum("circuit_state", fmt.Sprintf("destination=%q", destination)) != 0 {
				return fmt.Errorf("the circuit of %s to %s is not closed", gateway, destination)
			}
		}
	}
	return nil
}

// doubt is how long after the last answer a transaction may be between its two phases.
const doubt = 5 * time.Second

// RequireNothingInDoubt fails the test unless within 5 s there is no prepared transaction in any
// database and none that the coordinator still works on. It returns how many there are.
func RequireNothingInDoubt(t testing.TB) (left int) {
	t.Helper()
	conn, op := Leader(t, "postgres"), shoptest.Operator(t)
	err := shoptest.Poll(t.Context(), doubt, func(ctx context.Context) error {
		left = 1 // what cannot be counted counts as one
		var prepared int
		if err := conn.QueryRow(ctx, "select count(*) from pg_prepared_xacts").Scan(&prepared); err != nil {
			return err
		}
		undecided := 0
		for _, state := range []string{"preparing", "committing", "heuristic"} {
			var list shoptest.Page[struct{ GID string }]
			op.Want(t, http.StatusOK, shoptest.Call{Method: "GET", Path: "/transactions?state=" + state}, &list)
			undecided += len(list.Items)
		}
		if left = prepared + undecided; left > 0 {
			return fmt.Errorf("%d prepared transactions, %d that are not over", prepared, undecided)
		}
		return nil
	})
	if err != nil {
		t.Errorf("something is in doubt %s after the last answer: %v", doubt, err)
	}
	return left
}

// RequireLedgerBalanced fails the test unless the stock of every book is the sum of its
// movements. It returns of how many it is not.
func RequireLedgerBalanced(t testing.TB) (wrong int) {
	t.Helper()
	wrong = int(Number(t, Leader(t, "bookdb"), `
		select count(*) from stock s
		left join (select book_id, sum(delta) as moved from stock_movements group by book_id) m using (book_id)
		where s.quantity <> coalesce(m.moved, 0)`))
	if wrong > 0 {
		t.Errorf("the stock of %d books is not the sum of its movements", wrong)
	}
	return wrong
}

// RequireKept fails the test unless every order of the load that was acknowledged is there as it
// was, once; there is no order beside them; and the copies that are gone are those that they
// bought. There were so many copies of each book. It returns how many orders are lost, and how
// many orders or copies are there that must not be.
func RequireKept(t testing.TB, l *shoptest.Load, copies int64) (lost, beside int) {
	t.Helper()
	sold, paths := map[int64]int64{}, map[string]bool{}
	for _, acked := range l.Acks() {
		if paths[acked.Path] {
			beside++
			t.Errorf("%s was acknowledged under two keys", acked.Path)
		}
		paths[acked.Path] = true
		var o shoptest.Order
		if err := json.Unmarshal(acked.Body, &o); err != nil {
			t.Errorf("%v in %s", err, acked.Body)
		}
		for _, i := range o.Items {
			sold[i.BookID] += i.Quantity
		}
		if read, same := acked.Same(t, l.Shop); !same {
			lost++
			t.Errorf("%s is %v, acknowledged was %s", acked.Path, read, acked.Body)
		}
	}
	stored := Number(t, Leader(t, "orderdb"), "select count(*) from orders where customer_id = $1", l.Customer)
	if int(stored) != len(paths) {
		beside += max(0, int(stored)-len(paths))
		t.Errorf("%d orders are stored, %d were acknowledged", stored, len(paths))
	}
	for _, id := range l.Books {
		if left := l.Shop.Available(t, id); left+sold[id] != copies {
			beside++
			t.Errorf("book %d: %d in stock and %d sold, together not %d", id, left, sold[id], copies)
		}
	}
	return lost, beside
}

// Money is what a payment's account holds, in the ledger of the payments service.
func Money(t testing.TB, orderID, account string) int64 {
	t.Helper()
	return Number(t, Leader(t, "paymentdb"), `select coalesce(sum(e.cents), 0)::bigint
		from ledger_entries e join payments p on p.id = e.payment_id where p.order_id::text = $1 and e.account = $2`, orderID, account)
}

// RequireNoMoney fails the test unless nothing was ever paid for a checkout, or all of it went back.
func RequireNoMoney(t testing.TB, checkoutID string) {
	t.Helper()
	var order string
	err := Leader(t, "coordinatordb").QueryRow(t.Context(), "select data->'order'->>'id' from sagas where id = $1", checkoutID).Scan(&order)
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"customer", "held", "merchant"} {
		if cents := Money(t, order, account); cents != 0 {
			t.Errorf("checkout %s: %d cents are left at the %s", checkoutID, cents, account)
		}
	}
}
