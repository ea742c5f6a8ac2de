//go:build bench

package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"bookstore/services/lab"
)

// The baseline is recorded from the services: one order is placed while the
// server logs every statement; those that a branch sends between `begin` and `prepare transaction` are the baseline's.

// statement is one of a branch's, with arguments as the order had them.
type statement struct {
	sql  string
	args []any // text, nil for null
}

// sample is an order as the databases saw it.
type sample struct {
	book, gid, order string
	branches         map[string][]statement // by application name
}

// sampleBook is a book whose number appears nowhere else in a statement.
const sampleBook = 7919

func listen(t *testing.T, s *lab.Shop) sample {
	t.Helper()
	ctx, db := t.Context(), s.DB(lab.BookDB)
	server := s.Server(lab.BookDB)
	set := func(sql string) {
		t.Helper()
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	set("alter system set log_statement = 'all'")
	set("alter system set log_line_prefix = '%a|%p|'")
	server.Reload(t)
	client := newBuyer(strings.TrimPrefix(s.URL(lab.Coordinator), "http://"), "")
	defer client.http.CloseIdleConnections()
	answer, err := client.post("/orders", orderOf("sample", sampleBook), http.StatusCreated)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log_statement", "log_line_prefix"} {
		set("alter system reset " + name)
	}
	server.Reload(t)

	found := sample{book: fmt.Sprint(sampleBook), branches: map[string][]statement{}}
	var placed struct{ ID string }
	if err := json.Unmarshal(answer, &placed); err != nil {
		t.Fatal(err)
	}
	found.order = placed.ID
	err = s.DB(lab.CoordinatorDB).QueryRow(ctx, "select gid from transactions where payload->>'orderId' = $1", found.order).Scan(&found.gid)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"books", "orders"} {
		found.branches[name] = branch(logged(serverLog(ctx, t, s), name))
		if len(found.branches[name]) == 0 {
			t.Fatalf("%s prepared nothing in the log", name)
		}
	}
	return found
}

func serverLog(ctx context.Context, t *testing.T, s *lab.Shop) (text string) {
	t.Helper()
	db := s.DB(lab.BookDB)
	var data string
	err := db.QueryRow(ctx, "show data_directory").Scan(&data)
	if err == nil {
		err = db.QueryRow(ctx, "select pg_read_file($1)", path.Join(path.Dir(data), "log")).Scan(&text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var (
	entry     = regexp.MustCompile(`(?m)^([^|\n]*)\|(\d+)\|(\w+):  `)
	prefix    = regexp.MustCompile(`^(?:execute [^:]*|statement): `)
	parameter = regexp.MustCompile(`\$\d+ = (NULL|'(?:[^']|'')*')`)
)

// logged are the statements of a service in the log, by server process.
func logged(log, service string) map[string][]statement {
	by := map[string][]statement{}
	at := entry.FindAllStringSubmatchIndex(log, -1)
	for i, m := range at {
		end := len(log)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		who, process, text := log[m[2]:m[3]], log[m[4]:m[5]], strings.ReplaceAll(strings.TrimSpace(log[m[1]:end]), "\n\t", "\n")
		sql := prefix.FindString(text)
		switch {
		case who != service:
		case sql != "":
			by[process] = append(by[process], statement{sql: text[len(sql):]})
		case strings.HasPrefix(strings.ToLower(text), "parameters: ") && len(by[process]) > 0:
			by[process][len(by[process])-1].args = arguments(text)
		}
	}
	return by
}

func arguments(text string) (args []any) {
	for _, p := range parameter.FindAllStringSubmatch(text, -1) {
		if p[1] == "NULL" {
			args = append(args, nil)
			continue
		}
		args = append(args, strings.ReplaceAll(p[1][1:len(p[1])-1], "''", "'"))
	}
	return args
}

// branch finds the transaction that was prepared, without its two ends.
func branch(by map[string][]statement) (inside []statement) {
	for _, all := range by {
		open := false
		for _, one := range all {
			switch {
			case one.sql == "begin":
				open, inside = true, nil
			case strings.HasPrefix(one.sql, "prepare transaction"):
				return inside
			case open:
				inside = append(inside, one)
			}
		}
	}
	return nil
}

// marker tells the statement that only a distributed transaction needs.
func (s statement) marker() bool { return strings.Contains(s.sql, "branch_markers") }

var aTime = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)

// with is the statement for another order.
func (s statement) with(was sample, book, gid, order string) (string, []any) {
	args := make([]any, len(s.args))
	swap := strings.NewReplacer(was.gid, gid, was.order, order, was.book, book)
	for i, arg := range s.args {
		text, ok := arg.(string)
		switch {
		case !ok:
			args[i] = nil
		case aTime.MatchString(text) && s.marker(): // the deadline
			args[i] = time.Now().UTC().Add(3 * time.Second).Format("2006-01-02 15:04:05.999999-07")
		case aTime.MatchString(text):
			args[i] = time.Now().UTC().Format("2006-01-02 15:04:05.999999-07")
		default:
			args[i] = swap.Replace(text)
		}
	}
	return s.sql, args
}

// local runs statements as one local transaction, each in a round trip of its own.
func local(ctx context.Context, conn *pgx.Conn, statements []statement, was sample, book, gid, order string) error {
	if _, err := conn.Exec(ctx, "begin"); err != nil {
		return err
	}
	for _, s := range statements {
		sql, args := s.with(was, book, gid, order)
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	_, err := conn.Exec(ctx, "commit")
	return err
}

// baseline is the same work without a coordinator: copies of the two databases,
// on the same server.
type baseline struct {
	sample sample
	conns  []*pgx.Conn // two for each client: to the copy of bookdb and of orderdb
}

func newBaseline(t *testing.T, s *lab.Shop, logged sample, most int) *baseline {
	t.Helper()
	b := &baseline{sample: logged}
	for range most {
		b.conns = append(b.conns,
			s.Server(lab.BookDB).Conn(t, localCopy(lab.BookDB)), s.Server(lab.OrderDB).Conn(t, localCopy(lab.OrderDB)))
	}
	return b
}

func localCopy(database string) string { return "local_" + database }

// clients are n clients that make each order as one local transaction in
// either database.
func (b *baseline) clients(n int) []work {
	books, orders := b.sample.branches["books"], b.sample.branches["orders"]
	return b.all(n, func(ctx context.Context, bookdb, orderdb *pgx.Conn, book, gid, order string) error {
		if err := local(ctx, bookdb, books, b.sample, book, gid, order); err != nil {
			return err
		}
		return local(ctx, orderdb, orders, b.sample, book, gid, order)
	})
}

// single are n clients for whom both are one database, and an order one
// transaction without what only a distributed one writes.
func (b *baseline) single(n int) []work {
	var bare []statement
	for _, s := range append(slices.Clone(b.sample.branches["books"]), b.sample.branches["orders"]...) {
		if !s.marker() {
			bare = append(bare, s)
		}
	}
	return b.all(n, func(ctx context.Context, bookdb, _ *pgx.Conn, book, gid, order string) error {
		return local(ctx, bookdb, bare, b.sample, book, gid, order)
	})
}

func (b *baseline) all(n int, do func(ctx context.Context, bookdb, orderdb *pgx.Conn, book, gid, order string) error) []work {
	all := make([]work, n)
	for i := range all {
		bookdb, orderdb := b.conns[2*i], b.conns[2*i+1]
		all[i] = func(ctx context.Context) error {
			return do(ctx, bookdb, orderdb,
				fmt.Sprint(anyBook()), strings.ReplaceAll(uuid.NewString(), "-", ""), uuid.Must(uuid.NewV7()).String())
		}
	}
	return all
}
