package invariants

// ended are sagas that are over, with the order that each was about, and whether a step of it
// takes or returns money.
const ended = `
		with ended as (
			select cast(id as varchar) as saga, definition, state, coalesce(data->'order'->>'id', data->>'orderId', '') as order_id,
				cast(steps as varchar) like '%"capture"%' or cast(steps as varchar) like '%"refund"%' as pays
			from coordinatordb.sagas where finished_at is not null
		)`

// made are transactions that are committed, and the order that each was about.
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
