// Package equations holds what must be true of the shop at any cut, whatever is under way
// (services/checkout/README.md, "What balances"). A version of the warehouse of which one is not true is not published.
package equations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// equation is named by what is true. Its statement lists, in words, what breaks it.
type equation struct{ name, sql string }

var all = []equation{
	{"stock is the sum of its movements", `
		select format('book {} has {}, its movements make {}', coalesce(s.book_id, m.book_id), coalesce(s.quantity, 0), coalesce(m.copies, 0))
		from bookdb.stock s
		full join (select book_id, sum(delta) as copies from bookdb.stock_movements group by all) m on m.book_id = s.book_id
		where coalesce(s.quantity, 0) <> coalesce(m.copies, 0)`},
	{"a committed transaction has moved its order's lines", `
		with committed as (
			select gid, cast(payload->>'orderId' as uuid) as order_id, if(kind = 'place_order', -1, 1) as sign
			from coordinatordb.transactions where state = 'committed'
		), lines as (
			select c.gid, i.book_id, sum(c.sign * i.quantity) as copies
			from committed c join orderdb.order_items i on i.order_id = c.order_id group by all
		), moved as (
			select gid, book_id, sum(delta) as copies
			from bookdb.stock_movements semi join committed using (gid) group by all
		)
		select format('transaction {} of book {}: the lines of its order make {}, it moved {}', gid, book_id, coalesce(l.copies, 0), coalesce(m.copies, 0))
		from lines l full join moved m using (gid, book_id) where l.copies is distinct from m.copies
		union all
		select format('transaction {} is committed, and there is no order {}', gid, order_id)
		from committed anti join orderdb.orders o on o.id = committed.order_id`},
	{"a transaction that was not committed has moved nothing", `
		select distinct format('transaction {} is {}, and moved copies', gid, t.state)
		from bookdb.stock_movements join coordinatordb.transactions t using (gid) where t.state not in ('committed', 'heuristic')`},
	{"what transactions took is in orders that stand", `
		select format('book {}: {} copies were taken, {} are ordered', book_id, coalesce(m.copies, 0), coalesce(o.copies, 0))
		from (select book_id, -sum(delta) as copies from bookdb.stock_movements where gid is not null group by all having copies <> 0) m
		full join (
			select i.book_id, sum(i.quantity) as copies
			from orderdb.order_items i join orderdb.orders o on o.id = i.order_id where o.status = 'placed' group by all
		) o using (book_id)
		where m.copies is distinct from o.copies`},
	{"a saga that came to nothing has put everything back", `
		select format('saga {} has {}, and {} copies of book {} are not back', m.saga, s.state, -sum(m.delta), m.book_id)
		from bookdb.stock_movements m join coordinatordb.sagas s on s.id = cast(m.saga as uuid)
		where s.state in ('failed', 'cancelled') group by m.saga, s.state, m.book_id having sum(m.delta) <> 0`},
	{"a checkout that is complete has taken its order's lines", `
		with complete as (
			select s.id, cast(s.id as varchar) as saga, p.order_id
			from coordinatordb.sagas s join paymentdb.payments p on p.key = cast(s.id as varchar)
			where s.state = 'completed' and s.definition = 'checkout'
		), lines as (
			select c.saga, i.book_id, -sum(i.quantity) as copies
			from complete c join orderdb.order_items i on i.order_id = c.order_id group by all
		), moved as (
			select saga, book_id, sum(delta) as copies from bookdb.stock_movements semi join complete using (saga) group by all
		)
		select format('checkout {} of book {}: the lines of its order make {}, it took {}', saga, book_id, coalesce(l.copies, 0), coalesce(m.copies, 0))
		from lines l full join moved m using (saga, book_id) where l.copies is distinct from m.copies`},
	{"an order's total is what its lines cost", `
		select format('order {} costs {}, its lines {}', o.id, o.total_cents, coalesce(sum(i.quantity * i.unit_price_cents), 0))
		from orderdb.orders o left join orderdb.order_items i on i.order_id = o.id
		group by o.id, o.total_cents having coalesce(sum(i.quantity * i.unit_price_cents), 0) <> o.total_cents`},
	{"the ledger of each payment is zero", `
		select format('payment {}: {}', payment_id, sum(cents)) from paymentdb.ledger_entries group by payment_id having sum(cents) <> 0`},
}

// shown bounds how much of what breaks an equation is told.
const shown = 5

// Check returns what breaks the equations, all of them at once. Missing are tables that are not as of the same cut as the
// others: what needs one of them is unchecked, and so is what cannot be asked of the tables as they are.
func Check(ctx context.Context, duck *sql.DB, missing []string) (unchecked []string, err error) {
	var broken []error
	for _, e := range all {
		if without := e.without(missing); len(without) > 0 {
			unchecked = append(unchecked, e.name+": it needs "+strings.Join(without, ", "))
			continue
		}
		found, n, err := e.find(ctx, duck)
		switch {
		case unaskable(err):
			unchecked = append(unchecked, fmt.Sprintf("%s: %v", e.name, err))
		case err != nil:
			return nil, fmt.Errorf("look whether %s: %w", e.name, err)
		case n > len(found):
			broken = append(broken, fmt.Errorf("not true: %s: %s; and %d more", e.name, strings.Join(found, "; "), n-len(found)))
		case n > 0:
			broken = append(broken, fmt.Errorf("not true: %s: %s", e.name, strings.Join(found, "; ")))
		}
	}
	return unchecked, errors.Join(broken...)
}

var table = regexp.MustCompile(`\b[a-z]+db\.[a-z_]+\b`)

// without are those of the missing tables that the equation needs.
func (e equation) without(missing []string) (needed []string) {
	for _, name := range table.FindAllString(e.sql, -1) {
		if slices.Contains(missing, name) && !slices.Contains(needed, name) {
			needed = append(needed, name)
		}
	}
	return needed
}

// unaskable tells whether a statement does not fit the tables: one is not there, or has other columns.
func unaskable(err error) bool {
	var failed *duckdb.Error
	return errors.As(err, &failed) && slices.Contains([]duckdb.ErrorType{
		duckdb.ErrorTypeCatalog, duckdb.ErrorTypeBinder, duckdb.ErrorTypeConversion, duckdb.ErrorTypeInvalidInput,
	}, failed.Type)
}

func (e equation) find(ctx context.Context, duck *sql.DB) (found []string, n int, err error) {
	rows, err := duck.QueryContext(ctx, fmt.Sprintf("select text, count(*) over () from (%s) broken (text) limit %d", e.sql, shown))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close() //nolint:errcheck // its error is the last one
	for rows.Next() {
		var text string
		if err := rows.Scan(&text, &n); err != nil {
			return nil, 0, err
		}
		found = append(found, text)
	}
	return found, n, rows.Err()
}
