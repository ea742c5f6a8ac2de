//go:build bench

package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"bookstore/services/lab"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shoptest"
)

// What is measured. On a machine that does other things too, what is compared
// is measured alternately in short slices.
const (
	bookCount = 10_000
	rounds    = 3
	slice     = 3 * time.Second
	warmUp    = time.Second
	most      = 32 // clients
)

// postgres are settings of a server of its own on a machine with some memory.
// Whatever makes a commit safe is as it always is: on.
var postgres = []string{"shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=15min", "autovacuum_naptime=1min"}

var levels = []int{1, 8, most}

// TestTransactions measures orders and sagas against the same statements as
// local transactions, all in one run and on one PostgreSQL that waits for its
// disk. README.md of services/txn has the figures.
func TestTransactions(t *testing.T) {
	s := lab.Start(t, lab.Options{
		Postgres: pgtest.Options{Fsync: true, Settings: postgres},
		Books:    bookCount, Stock: 1_000_000,
		Sources: map[string]string{"services/checkout/purchase.go": purchase},
	})
	copyDatabases(t, s)
	sampled := listen(t, s)
	fmt.Printf("an order's statements: %d in bookdb, %d in orderdb\n", len(sampled.branches["books"]), len(sampled.branches["orders"]))
	local := newBaseline(t, s, sampled, most)
	direct := newBuyer(strings.TrimPrefix(s.URL(lab.Coordinator), "http://"), "")
	defer direct.http.CloseIdleConnections()
	sagas := followSagas(t, s)

	var table report
	for _, n := range levels {
		base, orders, two := table.row("local transactions", n), table.row("2PC orders", n), table.row("sagas of two steps", n)
		table.compare(orders, base)
		table.compare(two, base)
		contenders := []contender{{base, local.clients(n)}, {orders, direct.clients(n, anyBook)}, {two, sagas.clients(n, direct)}}
		if n == most {
			contenders = append(contenders, contender{table.row("  in a single one", n), local.single(n)})
			hot := table.row("2PC, one hot book", n)
			table.compare(hot, base)
			contenders = append(contenders, contender{hot, direct.clients(n, func() int { return 1 })})
		}
		race(t, contenders)
	}
	sagasAtOnce(t, &table, sagas, direct)
	soldOut(t, s, &table, direct)
	requireAcknowledged(t, s, direct)
	mesh := table.mesh(t)
	table.print()

	figure("orders_2pc_ratio_c32", "%.3f", table.ratio("2PC orders", most))
	figure("saga_ratio_c32", "%.3f", table.ratio("sagas of two steps", most))
	figure("hot_book_orders_per_s", "%.0f", table.find("2PC, one hot book", most).rate())
	figure("mesh_orders_per_s", "%s", mesh)
}

// contender is a kind of work and who does it.
type contender struct {
	tally   *tally
	clients []work
}

// race measures all of them in rounds.
func race(t *testing.T, all []contender) {
	t.Helper()
	for _, c := range all {
		warm := &tally{name: "(warm-up) " + strings.TrimSpace(c.tally.name)}
		warm.slice(t, warmUp, c.clients)
	}
	for range rounds {
		for _, c := range all {
			c.tally.slice(t, slice, c.clients)
		}
	}
}

// copyDatabases clones what the services work on for the baseline, while they
// are kept out.
func copyDatabases(t *testing.T, s *lab.Shop) {
	t.Helper()
	ctx, db := t.Context(), s.DB(lab.CoordinatorDB)
	for service, name := range map[lab.Service]string{lab.Books: lab.BookDB, lab.Orders: lab.OrderDB} {
		s.Kill(service)
		s.DB(name).Reset()
		for _, sql := range []string{
			"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '" + name + "'",
			"create database " + localCopy(name) + " template " + name,
		} {
			if _, err := db.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Restart(service); err != nil {
			t.Fatal(err)
		}
	}
	bothInOne(t, s)
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}

// bothInOne puts the tables of orders beside those of books in the baseline's
// copy. psql prints an error for each that both databases have.
func bothInOne(t *testing.T, s *lab.Shop) {
	t.Helper()
	var bin string
	if err := s.DB(lab.CoordinatorDB).QueryRow(t.Context(), "select setting from pg_config() where name = 'BINDIR'").Scan(&bin); err != nil {
		t.Fatal(err)
	}
	dump := exec.CommandContext(t.Context(), bin+"/pg_dump", "--schema-only", "--no-owner", "--no-acl", s.DSN(lab.OrderDB))
	into := exec.CommandContext(t.Context(), bin+"/psql", "--quiet", "--dbname", s.Server(lab.BookDB).URL(localCopy(lab.BookDB)))
	text, err := dump.Output()
	into.Stdin = bytes.NewReader(text)
	if err == nil {
		err = into.Run()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// requireAcknowledged: what was acknowledged is there, and the shop's equations hold.
func requireAcknowledged(t *testing.T, s *lab.Shop, b *buyer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.WaitAtRest(ctx); err != nil {
		t.Error(err)
	}
	var missing int
	err := s.DB(lab.OrderDB).QueryRow(ctx, `select count(*) from unnest($1::uuid[]) k (id)
		where not exists (select from orders o where o.id = k.id)`, b.known).Scan(&missing)
	if err != nil || missing > 0 {
		t.Errorf("%d of %d acknowledged orders are missing (%v)", missing, len(b.known), err)
	}
	fmt.Printf("%d orders were acknowledged and are there; the equations hold\n", len(b.known))
}

// mesh measures the running shop through its ingress, where there is one.
func (r *report) mesh(t *testing.T) string {
	t.Helper()
	const addr = "127.0.0.1:8080"
	token := os.Getenv("BENCH_TOKEN")
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil || token == "" {
		fmt.Println("through ingress and mesh: left out, the shop is not running (go tool task up)")
		return "left_out"
	}
	conn.Close()
	b := newBuyer(addr, token)
	defer b.http.CloseIdleConnections()
	through := r.row("through the mesh", most)
	race(t, []contender{{through, b.clients(most, meshBooks(t, b))}})
	return fmt.Sprintf("%.0f", through.rate())
}

// soldOut measures how long buyers wait for their refusal once the last copy of
// a book is gone: from the answer to the last one who got a copy.
func soldOut(t *testing.T, s *lab.Shop, table *report, b *buyer) {
	t.Helper()
	const buyers, copies, bursts = 120, 37, 5
	shelf := newBuyer(strings.TrimPrefix(s.URL(lab.Books), "http://"), "")
	defer shelf.http.CloseIdleConnections()
	refused := table.row("refused: sold out", buyers)
	for range bursts {
		book := shelf.addBook(t, "Scarce", copies)
		served, refusals := make([]time.Time, buyers), make([]time.Time, buyers)
		began := time.Now()
		shoptest.Parallel(buyers, func(i int) {
			err := b.order(fmt.Sprint("buyer-", i), book)
			switch {
			case err == nil:
				served[i] = time.Now()
			case strings.Contains(err.Error(), "out_of_stock"):
				refusals[i] = time.Now()
			default:
				t.Error(err)
			}
		})
		refused.took += time.Since(began)
		last := slices.MaxFunc(served, time.Time.Compare)
		refusals = slices.DeleteFunc(refusals, time.Time.IsZero)
		if len(refusals) != buyers-copies {
			t.Errorf("%d of %d were refused, want %d", len(refusals), buyers, buyers-copies)
		}
		for _, at := range refusals {
			refused.each = append(refused.each, max(0, at.Sub(last)))
		}
	}
	figure("sold_out_p99_ms", "%.1f", milliseconds(refused.quantile(.99)))
}
