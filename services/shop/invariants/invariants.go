// Package invariants is what must be true of the shop's money and stock, as SQL over its four databases. Each statement
// selects its violations as text, in the SQL that PostgreSQL and DuckDB have in common: the lab runs it on PostgreSQL, the
// warehouse on DuckDB.
//
// Tables are qualified by their database (bookdb.stock). The end-to-end tests have checks of their own, so that a mistake
// here is not a mistake there.
package invariants

import (
	"regexp"
	"slices"
	"strings"
)

// Equation is one invariant. Its name is the sentence that is true.
type Equation struct {
	Name string
	// sql selects one text for each violation, made by format with {} for each value.
	sql string
}

// DuckDB is the statement for a database that has the shop's four databases as schemas.
func (e Equation) DuckDB() string { return e.sql }

// PostgreSQL is the statement for the equation's own database if it has only one (see Database), else for a database that
// has the shop's four as schemas.
func (e Equation) PostgreSQL() string {
	text := strings.ReplaceAll(e.sql, "{}", "%s")
	if name := e.Database(); name != "" {
		text = strings.ReplaceAll(text, name+".", "")
	}
	return text
}

var table = regexp.MustCompile(`\b[a-z]+db\.[a-z_]+\b`)

// Tables are the tables that the equation reads, each once.
func (e Equation) Tables() []string {
	found := table.FindAllString(e.sql, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// Database is the database of all of the equation's tables; "" when they are in several.
func (e Equation) Database() (name string) {
	for _, t := range e.Tables() {
		database, _, _ := strings.Cut(t, ".")
		if name != "" && name != database {
			return ""
		}
		name = database
	}
	return name
}

// Always are the equations that hold at every consistent cut through all databases, whatever is in progress. Those of one
// database hold in every snapshot of it.
func Always() []Equation { return always }

// AtRest are the equations that hold, besides those of Always, when no transaction, saga or announcement is in progress.
func AtRest() []Equation { return atRest }

var always = []Equation{
	{"stock is the sum of its movements", `
		select format('book {} has {}, its movements make {}', coalesce(s.book_id, m.book_id), coalesce(s.quantity, 0), coalesce(m.copies, 0))
		from bookdb.stock s
		full join (select book_id, sum(delta) as copies from bookdb.stock_movements group by book_id) m on m.book_id = s.book_id
		where coalesce(s.quantity, 0) <> coalesce(m.copies, 0)`},
	{"a committed transaction has moved its order's lines", `
		with committed as (
			select gid, cast(payload->>'orderId' as uuid) as order_id, case when kind = 'place_order' then -1 else 1 end as sign
			from coordinatordb.transactions where state = 'committed'
		), lines as (
			select c.gid, i.book_id, sum(c.sign * i.quantity) as copies
			from committed c join orderdb.order_items i on i.order_id = c.order_id group by c.gid, i.book_id
		), moved as (
			select m.gid, m.book_id, sum(m.delta) as copies
			from bookdb.stock_movements m join committed c on c.gid = m.gid group by m.gid, m.book_id
		)
		select format('transaction {} of book {}: the lines of its order make {}, it moved {}', gid, book_id, coalesce(l.copies, 0), coalesce(m.copies, 0))
		from lines l full join moved m using (gid, book_id) where l.copies is distinct from m.copies
		union all
		select format('transaction {} is committed, and there is no order {}', c.gid, c.order_id)
		from committed c where not exists (select 1 from orderdb.orders o where o.id = c.order_id)`},
	{"a transaction that was not committed has moved nothing", `
		select distinct format('transaction {} is {}, and moved copies', t.gid, t.state)
		from bookdb.stock_movements m join coordinatordb.transactions t on t.gid = m.gid where t.state not in ('committed', 'heuristic')`},
	{"what transactions took is in orders that stand", `
		select format('book {}: {} copies were taken, {} are ordered', book_id, coalesce(m.copies, 0), coalesce(o.copies, 0))
		from (select book_id, -sum(delta) as copies from bookdb.stock_movements where gid is not null group by book_id having sum(delta) <> 0) m
		full join (
			select i.book_id, sum(i.quantity) as copies
			from orderdb.order_items i join orderdb.orders o on o.id = i.order_id where o.status = 'placed' group by i.book_id
		) o using (book_id)
		where m.copies is distinct from o.copies`},
	{"a saga that came to nothing has put everything back", `
		select format('saga {} has {}, and {} copies of book {} are not back', m.saga, s.state, -sum(m.delta), m.book_id)
		from bookdb.stock_movements m join coordinatordb.sagas s on s.id = cast(m.saga as uuid)
		where s.state in ('failed', 'cancelled') group by m.saga, s.state, m.book_id having sum(m.delta) <> 0`},
	{"a checkout that is complete has taken its order's lines", `
		with complete as (
			select cast(s.id as varchar) as saga, p.order_id
			from coordinatordb.sagas s join paymentdb.payments p on p.key = cast(s.id as varchar)
			where s.state = 'completed' and s.definition = 'checkout'
		), lines as (
			select c.saga, i.book_id, -sum(i.quantity) as copies
			from complete c join orderdb.order_items i on i.order_id = c.order_id group by c.saga, i.book_id
		), moved as (
			select m.saga, m.book_id, sum(m.delta) as copies
			from bookdb.stock_movements m where exists (select 1 from complete c where c.saga = m.saga) group by m.saga, m.book_id
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

// ended are the finished sagas, each with its order, and whether a step of it moves money.
const ended = `
		with ended as (
			select cast(id as varchar) as saga, definition, state, coalesce(data->'order'->>'id', data->>'orderId', '') as order_id,
				cast(steps as varchar) like '%"capture"%' or cast(steps as varchar) like '%"refund"%' as pays
			from coordinatordb.sagas where finished_at is not null
		)`

// made are the committed transactions, each with its order.
const made = `
		with made as (
			select kind, payload->>'orderId' as order_id from coordinatordb.transactions where state = 'committed'
		)`

var atRest = []Equation{
	{"every transaction is finished, none heuristic", `
		select format('{} {} is {} ({})', kind, gid, state, notes) from coordinatordb.transactions where finished_at is null or state = 'heuristic'`},
	{"every saga is over", `
		select format('{} {} is {}: {}', definition, id, state, steps) from coordinatordb.sagas where finished_at is null`},
	{"every change has been announced", `
		select format('book {} at {}.{}', book_id, version, stock_version) from bookdb.cache_outbox`},
	{"an order is placed and cancelled once at most", made + `
		select format('order {}: {} {} times', order_id, kind, count(*)) from made group by order_id, kind having count(*) > 1`},
	{"an order that transactions made is as they left it", made + `
		select format('order {} is placed, and no transaction placed it', o.id)
		from orderdb.orders o where o.status = 'placed'
		and not exists (select 1 from made m where m.order_id = cast(o.id as varchar) and m.kind <> 'cancel_order')
		union all
		select format('order {} is {}, and not as the transactions that placed or cancelled it', o.id, o.status)
		from orderdb.orders o where exists (select 1 from made m where m.order_id = cast(o.id as varchar) and m.kind <> 'cancel_order')
		and (o.status = 'cancelled') <> exists (select 1 from made m where m.order_id = cast(o.id as varchar) and m.kind = 'cancel_order')`},
	{"an order is checked out and returned once at most", ended + `
		select format('order {}: {} {} times', order_id, definition, count(*))
		from ended where state = 'completed' group by order_id, definition having count(*) > 1`},
	{"a saga that is complete has moved its order's lines", ended + `, lines as (
			select v.saga, i.book_id, sum(case when v.definition = 'return' then i.quantity else -i.quantity end) as copies
			from ended v join orderdb.order_items i on cast(i.order_id as varchar) = v.order_id
			where v.state = 'completed' group by v.saga, i.book_id
		), moved as (
			select m.saga, m.book_id, sum(m.delta) as copies from bookdb.stock_movements m
			where exists (select 1 from ended v where v.saga = m.saga and v.state = 'completed')
			group by m.saga, m.book_id having sum(m.delta) <> 0
		)
		select format('saga {} of book {}: the lines of its order make {}, it moved {}', saga, book_id, coalesce(l.copies, 0), coalesce(m.copies, 0))
		from lines l full join moved m using (saga, book_id) where l.copies is distinct from m.copies`},
	{"what moved belongs to a commit or a saga that stands", `
		select format('{} is neither a commit nor a saga that stands, and moved {} of book {}', coalesce(m.gid, m.saga), sum(m.delta), m.book_id)
		from bookdb.stock_movements m
		where coalesce(m.gid, m.saga) is not null
		and not exists (select 1 from coordinatordb.transactions t where t.gid = m.gid and t.state = 'committed')
		and not exists (select 1 from coordinatordb.sagas s where cast(s.id as varchar) = m.saga and s.state = 'completed')
		group by coalesce(m.gid, m.saga), m.book_id having sum(m.delta) <> 0`},
	{"a checkout that came to nothing has left no order", ended + `
		select format('checkout {} came to nothing, and its order {} is {}', v.saga, o.id, o.status)
		from ended v join orderdb.orders o on cast(o.id as varchar) = v.order_id
		where v.definition = 'checkout' and v.state <> 'completed' and o.status <> 'cancelled'`},
	{"an order is paid and returned as its sagas say", ended + `
		select format('order {} is {}, and its checkout and return are not complete so', o.id, o.status)
		from orderdb.orders o
		where (o.status in ('paid', 'returned')) <>
			exists (select 1 from ended v where v.order_id = cast(o.id as varchar) and v.definition = 'checkout' and v.state = 'completed')
		or (o.status = 'returned') <>
			exists (select 1 from ended v where v.order_id = cast(o.id as varchar) and v.definition = 'return' and v.state = 'completed')`},
	{"money is taken for what is paid, and given back for what is returned", ended + `
		select format('order {} is {}, and its payment is not', o.id, o.status)
		from orderdb.orders o join ended v on v.order_id = cast(o.id as varchar) and v.state = 'completed' and v.pays
		where (o.status = 'paid' and v.definition = 'checkout'
			and not exists (select 1 from paymentdb.payments p where p.order_id = o.id and p.state = 'captured'))
		or (o.status = 'returned' and v.definition = 'return'
			and not exists (select 1 from paymentdb.payments p where p.order_id = o.id and p.state = 'refunded'))
		union all
		select format('order {} is {}, and its payment {}', p.order_id, coalesce(o.status, 'not there'), p.state)
		from paymentdb.payments p left join orderdb.orders o on o.id = p.order_id
		where p.state = 'authorised' or (p.state = 'captured' and coalesce(o.status, '') <> 'paid')`},
	{"copies that left are in orders that stand", `
		select format('book {}: {} copies left, {} are in orders that stand', book_id, coalesce(m.copies, 0), coalesce(o.copies, 0))
		from (select book_id, -sum(delta) as copies from bookdb.stock_movements
			where cause not in ('initial', 'adjust') group by book_id having sum(delta) <> 0) m
		full join (
			select i.book_id, sum(i.quantity) as copies from orderdb.order_items i join orderdb.orders o on o.id = i.order_id
			where o.status in ('placed', 'paid') group by i.book_id
		) o using (book_id)
		where m.copies is distinct from o.copies`},
}
