package bookspg_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"bookstore/services/books"
	"bookstore/services/books/bookspg"
	"bookstore/services/platform/fault"
	"bookstore/services/platform/pg"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shop/kinds"
	"bookstore/services/txn/participant"
)

// With a role that may set log_min_messages, refused orders are not logged by PostgreSQL, and every other failure on its
// connections is. With a role that may not, refused orders are logged.
func TestARefusedOrderIsNoErrorInTheServersLog(t *testing.T) {
	t.Parallel()
	const orders = 50
	server := pgtest.Start(t, pgtest.Options{})
	dsn, err := url.Parse(server.DSN(t, bookspg.Migrations))
	if err != nil {
		t.Fatal(err)
	}
	admin := server.Conn(t, strings.TrimPrefix(dsn.Path, "/"))
	execAll(t, admin,
		"create role keeper login", "grant all on all tables in schema public to keeper",
		"grant all on all sequences in schema public to keeper")
	dsn.User = url.User("keeper")
	for i, c := range []struct {
		name, before string
		logged       int
	}{
		{"without the right to set log_min_messages", "select", 3*orders + 2},
		{"with it", "grant set on parameter log_min_messages to keeper", 2},
	} {
		execAll(t, admin, c.before)
		logged := len(server.Log())
		refuseOrders(t, dsn.String(), i+1, orders)
		text := server.Log()[logged:]
		if n := strings.Count(text, "ERROR:"); n != c.logged {
			t.Errorf("%s: %d errors were logged, want %d; the first:\n%.600s", c.name, n, c.logged, text)
		}
		for _, failure := range []string{`relation "nowhere" does not exist`, `relation "stock" violates check constraint`} {
			if !strings.Contains(text, failure) {
				t.Errorf("%s: another failure is not in the log: %s", c.name, failure)
			}
		}
		if strings.Contains(text, "permission denied") {
			t.Errorf("%s: a setting was tried that the role may not set:\n%.600s", c.name, text)
		}
	}
}

// refuseOrders prepares orders that are refused because book n is sold out, aborts them, and prepares them again. Then two other
// statements fail, one of them in a branch.
func refuseOrders(t *testing.T, dsn string, n, orders int) {
	t.Helper()
	ctx, pool := context.Background(), pgtest.Pool(t, dsn)
	s := &testStore{bookspg.New(pool), t, pool}
	p := participant.New(pool, "books", slog.New(slog.DiscardHandler), nil)
	book, err := s.Create(ctx, draft(n, 0))
	if err != nil {
		t.Fatal(err)
	}
	for range orders {
		m := message()
		r := books.Reservation{Action: books.Reserve, OrderID: m.GID, Lines: []books.Line{line(book.ID, 1, book.PriceCents)}}
		wantKind(t, prepare(ctx, p, m, r), kinds.OutOfStock)
		if err := p.Abort(ctx, m); err != nil {
			t.Fatal(err)
		}
		wantKind(t, prepare(ctx, p, m, r), fault.Aborted)
	}
	if n := s.number("select count(*) from pg_prepared_xacts where database = current_database()"); n != 0 {
		t.Errorf("%d refused orders are prepared", n)
	}
	broken, m := &pgx.Batch{}, message()
	broken.Queue("update stock set quantity = -1 where book_id = $1", book.ID)
	wantKind(t, p.PrepareWhole(ctx, m, broken, func(context.Context, pgx.Tx) error {
		return fault.New(kinds.OutOfStock, "there is none")
	}), kinds.OutOfStock)
	if _, err := pool.Exec(ctx, "insert into nowhere values (1)"); pg.Code(err) != "42P01" {
		t.Errorf("an insert into no table: %v", err)
	}
}

// message is about a new transaction with a minute to go.
func message() participant.Message {
	return participant.Message{
		GID: strings.ToLower(rand.Text()), Branch: "books", Branches: []string{"books", "orders"},
		Deadline: time.Now().Add(time.Minute),
	}
}

func prepare(ctx context.Context, p *participant.Participant, m participant.Message, r books.Reservation) error {
	whole := &pgx.Batch{}
	if !bookspg.Branch.Whole(whole, m.GID, r) {
		return fault.New(fault.Internal, "the change is not made at once")
	}
	return p.PrepareWhole(ctx, m, whole, func(ctx context.Context, tx pgx.Tx) error {
		return bookspg.Branch.Apply(ctx, tx, m.GID, r)
	})
}

func execAll(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}
