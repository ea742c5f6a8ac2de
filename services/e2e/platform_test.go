//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	nomad "github.com/hashicorp/nomad/api"
	"github.com/jackc/pgx/v5"

	"bookstore/services/shoptest"
)

// services are the shop's own, each with two instances.
var services = []string{"books", "orders", "payments", "coordinator", "gateway"}

// oneConsul is a client for all: each keeps connections of its own, and the agent allows one
// address two hundred.
var oneConsul = sync.OnceValues(func() (*consul.Client, error) {
	return consul.NewClient(&consul.Config{Address: "http://127.0.0.1:8500"})
})

func consulClient(t testing.TB) *consul.Client {
	t.Helper()
	c, err := oneConsul()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var oneNomad = sync.OnceValues(func() (*nomad.Client, error) {
	return nomad.NewClient(&nomad.Config{Address: "http://127.0.0.1:4646"})
})

func nomadClient(t testing.TB) *nomad.Client {
	t.Helper()
	c, err := oneNomad()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// healthy are the instances of a service whose checks all pass.
func healthy(ctx context.Context, t testing.TB, service, tag string) ([]*consul.ServiceEntry, error) {
	t.Helper()
	options := (&consul.QueryOptions{RequireConsistent: true}).WithContext(ctx)
	entries, _, err := consulClient(t).Health().Service(service, tag, true, options)
	return entries, err
}

func address(e *consul.ServiceEntry) string {
	if e.Service.Address != "" {
		return e.Service.Address
	}
	return e.Node.Address
}

// waitHealthy polls until exactly n instances of every service are healthy.
func waitHealthy(t testing.TB, n int, names ...string) {
	t.Helper()
	shoptest.Eventually(t, 2*time.Minute, fmt.Sprintf("%d healthy instances of %v", n, names), func(ctx context.Context) error {
		for _, name := range names {
			entries, err := healthy(ctx, t, name, "")
			if err != nil {
				return err
			}
			if len(entries) != n {
				return fmt.Errorf("%s has %d", name, len(entries))
			}
		}
		return nil
	})
}

// leader connects to one database as the superuser, on the leader: the only place that
// shows prepared transactions.
func leader(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	variable, _, err := nomadClient(t).Variables().GetVariableItems("nomad/jobs/patroni", nil)
	if err != nil {
		t.Fatalf("read the superuser's password: %v", err)
	}
	entries, err := healthy(t.Context(), t, "patroni", "")
	if err != nil || len(entries) == 0 {
		t.Fatalf("no patroni in Consul: %v", err)
	}
	config, err := pgx.ParseConfig("user=postgres connect_timeout=5 target_session_attrs=read-write")
	if err != nil {
		t.Fatal(err)
	}
	config.Database, config.Password = database, variable["superuser_password"]
	config.Fallbacks = nil
	// The members' certificates bear no DNS name; that they are the right ones is a test of
	// the services' connections, this one only looks.
	config.TLSConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
	var last error
	for _, e := range entries {
		config.Host, config.Port = address(e), uint16(e.Service.Port)
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err == nil {
			t.Cleanup(func() { closeConn(conn) })
			return conn
		}
		last = err
	}
	t.Fatalf("no member of patroni takes writes: %v", last)
	return nil
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the test is over either way
}

// number runs a query whose answer is one number.
func number(t testing.TB, conn *pgx.Conn, sql string, args ...any) (n int64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// requireNothingInDoubt: no prepared transaction in any database and none that the
// coordinator still works on, at the latest 3 s after the last answer.
func requireNothingInDoubt(t testing.TB) {
	t.Helper()
	conn, op := leader(t, "postgres"), shoptest.Operator(t)
	shoptest.Eventually(t, 5*time.Second, "nothing is in doubt", func(ctx context.Context) error {
		var prepared int
		if err := conn.QueryRow(ctx, "select count(*) from pg_prepared_xacts").Scan(&prepared); err != nil {
			return err
		}
		if prepared > 0 {
			return fmt.Errorf("%d prepared transactions", prepared)
		}
		for _, state := range []string{"preparing", "committing", "heuristic"} {
			var list shoptest.Page[struct{ GID string }]
			op.Want(t, 200, shoptest.Call{Method: "GET", Path: "/transactions?state=" + state}, &list)
			if len(list.Items) > 0 {
				return fmt.Errorf("%d transactions are %s, one is %s", len(list.Items), state, list.Items[0].GID)
			}
		}
		return nil
	})
}

// requireLedgerBalanced: the stock of every book is the sum of its movements.
func requireLedgerBalanced(t testing.TB) {
	t.Helper()
	wrong := number(t, leader(t, "bookdb"), `
		select count(*) from stock s
		left join (select book_id, sum(delta) as moved from stock_movements group by book_id) m using (book_id)
		where s.quantity <> coalesce(m.moved, 0)`)
	if wrong > 0 {
		t.Errorf("the stock of %d books is not the sum of its movements", wrong)
	}
}

// money is what a payment's account holds, in the ledger of the payments service.
func money(t testing.TB, orderID, account string) int64 {
	t.Helper()
	return number(t, leader(t, "paymentdb"), `select coalesce(sum(e.cents), 0)::bigint
		from ledger_entries e join payments p on p.id = e.payment_id where p.order_id::text = $1 and e.account = $2`, orderID, account)
}

// requireNoMoney: nothing was ever paid for a checkout, or all of it went back.
func requireNoMoney(t testing.TB, checkoutID string) {
	t.Helper()
	var order string
	err := leader(t, "coordinatordb").QueryRow(t.Context(), "select data->'order'->>'id' from sagas where id = $1", checkoutID).Scan(&order)
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"customer", "held", "merchant"} {
		if cents := money(t, order, account); cents != 0 {
			t.Errorf("checkout %s: %d cents are left at the %s", checkoutID, cents, account)
		}
	}
}
