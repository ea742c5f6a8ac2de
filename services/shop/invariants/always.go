package invariants

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
