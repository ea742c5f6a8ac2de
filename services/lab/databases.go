package lab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"bookstore/patroni"
	"bookstore/services/platform/pg/pgtest"
	"bookstore/services/shop/invariants"
)

// password is every login's: the servers of tests do not check it.
const password = "lab"

// startDatabases runs the servers and has the shop's own command declare and
// migrate the databases on them.
func (s *Shop) startDatabases() {
	s.t.Helper()
	main := s.startServer()
	for _, name := range []string{BookDB, OrderDB, PaymentDB, CoordinatorDB, "postgres"} {
		s.servers[name] = main
	}
	if s.options.Apart {
		s.servers[OrderDB] = s.startServer()
	}
	s.servers[allDB] = main
	if err := s.linkDatabases(); err != nil {
		s.t.Fatal(err)
	}
}

// allDB has the four databases as schemas, with the tables that equations of several of them need.
const allDB = "all_databases"

// linkDatabases makes allDB.
func (s *Shop) linkDatabases() error {
	ctx := context.Background()
	if _, err := s.DB("postgres").Exec(ctx, "create database "+allDB); err != nil {
		return fmt.Errorf("create %s: %w", allDB, err)
	}
	tables := map[string][]string{}
	for _, e := range slices.Concat(invariants.Always(), invariants.AtRest()) {
		for _, name := range e.Tables() {
			database, table, _ := strings.Cut(name, ".")
			tables[database] = append(tables[database], table)
		}
	}
	var link strings.Builder
	link.WriteString("create extension postgres_fdw;")
	for database, names := range tables {
		server, err := url.Parse(s.DSN(database))
		if err != nil {
			return err
		}
		fmt.Fprintf(&link, `create server %[1]s foreign data wrapper postgres_fdw options (host '%[2]s', port '%[3]s', dbname '%[1]s');
			create user mapping for current_user server %[1]s options (user '%[4]s');
			create schema %[1]s;
			import foreign schema public limit to (%[5]s) from server %[1]s into %[1]s;`,
			database, server.Hostname(), server.Port(), server.User.Username(), strings.Join(names, ", "))
	}
	if _, err := s.DB(allDB).Exec(ctx, link.String()); err != nil {
		return fmt.Errorf("link the databases: %w", err)
	}
	return nil
}

func (s *Shop) startServer() *pgtest.Instance {
	s.t.Helper()
	server := pgtest.Start(s.t, s.options.Postgres)
	logins := filepath.Join(s.dir, "logins")
	var text strings.Builder
	for _, login := range patroni.Logins(patroni.Databases(), patroni.Guests()) {
		fmt.Fprintf(&text, "%s %s\n", login, password)
	}
	if err := os.WriteFile(logins, []byte(text.String()), 0o600); err != nil {
		s.t.Fatal(err)
	}
	migrate := exec.CommandContext(s.t.Context(), filepath.Join(s.bin, "migrate"))
	migrate.Env = []string{"DB_DSN=" + server.URL("postgres"), "LOGINS_FILE=" + logins, "LEADER_TIMEOUT=30s"}
	if out, err := migrate.CombinedOutput(); err != nil {
		s.t.Fatalf("migrate: %v\n%s", err, out)
	}
	return server
}

// Price is what every seeded book costs, in cents.
const Price = 1000

const seedBooks = `
with added as (
	insert into books (title, authors, price_cents, currency)
	select 'Book ' || n, array['Author ' || n % 100], $2, 'EUR' from generate_series(1, $1::int) n order by n
	returning id
), stocked as (
	insert into stock (book_id, quantity) select id, $3::bigint from added returning book_id
)
insert into stock_movements (book_id, delta, cause) select book_id, $3::bigint, 'initial' from stocked where $3::bigint > 0`

// seed puts books into an empty catalogue. They get the ids 1 to n.
func (s *Shop) seed(n int, stock int64) error {
	if n == 0 {
		return nil
	}
	ctx, pool := context.Background(), s.DB(BookDB)
	_, err := pool.Exec(ctx, seedBooks, n, Price, stock)
	if err == nil {
		_, err = pool.Exec(ctx, "vacuum (analyze) books, stock, stock_movements")
	}
	if err != nil {
		return fmt.Errorf("seed books: %w", err)
	}
	return nil
}

// Always returns what breaks an equation that holds at any moment, however much is under way:
// those of one database.
func (s *Shop) Always(ctx context.Context) error {
	var broken []error
	for _, e := range invariants.Always() {
		if e.Database() != "" {
			broken = append(broken, s.holds(ctx, e))
		}
	}
	return errors.Join(broken...)
}

// Check returns what breaks an equation of the shop at rest, and an error too while something is
// still under way.
func (s *Shop) Check(ctx context.Context) error {
	if err := s.nothingPrepared(ctx); err != nil {
		return err
	}
	// The first of them say that nothing is under way: before that the books cannot be balanced.
	for _, e := range slices.Concat(invariants.AtRest(), invariants.Always()) {
		if err := s.holds(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// WaitAtRest polls until Check returns nil, or ctx ends.
func (s *Shop) WaitAtRest(ctx context.Context) error { return Until(ctx, s.Check) }

// nothingPrepared is nil when no database has a prepared transaction.
func (s *Shop) nothingPrepared(ctx context.Context) error {
	for _, name := range []string{BookDB, OrderDB, PaymentDB, CoordinatorDB} {
		err := s.none(ctx, name, "nothing is prepared", `select gid from pg_prepared_xacts where database = current_database()`)
		if err != nil {
			return err
		}
	}
	return nil
}

// holds checks an equation in its one database, or in allDB.
func (s *Shop) holds(ctx context.Context, e invariants.Equation) error {
	name := e.Database()
	if name == "" {
		name = allDB
	}
	return s.none(ctx, name, e.Name, e.PostgreSQL())
}

// none is nil when a statement returns no row; each says in words what is wrong.
func (s *Shop) none(ctx context.Context, database, name, sql string) error {
	rows, err := s.DB(database).Query(ctx, sql)
	var found []string
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", database, name, err)
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: not true: %s: %s", database, name, some(found))
	}
	return nil
}

// some shows the first few of many.
func some(found []string) string {
	const most = 5
	if len(found) <= most {
		return strings.Join(found, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(found[:most], "; "), len(found)-most)
}
