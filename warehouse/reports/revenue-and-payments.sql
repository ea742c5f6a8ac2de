-- Does the revenue that orders stand for agree with the money that was captured?
-- Revenue is recognised for an order while it is paid; a placed order is none yet, a returned one no longer. Money is
-- counted by the payments ledger at the day of its order. difference is captured less refunded less recognised: the
-- money of checkouts and returns that are under way. What is still there a day later is an error; orders_differing
-- says how many orders it is about.
-- since: 30d
-- chart: columns day recognised by currency
with paid as (
    select p.order_id, p.created_at, p.currency, coalesce(sum(e.cents) filter (e.operation = 'capture'), 0) as captured,
           coalesce(-sum(e.cents) filter (e.operation = 'refund'), 0) as refunded
    from paymentdb.payments p left join paymentdb.ledger_entries e on e.payment_id = p.id and e.account = 'merchant'
    group by all
), each as (
    select coalesce(o.created_at, p.created_at) as begun, coalesce(o.currency, p.currency) as currency, o.status = 'paid' as counts,
           case when counts then o.total_cents else 0 end as recognised,
           coalesce(p.captured, 0) as captured, coalesce(p.refunded, 0) as refunded
    from orderdb.orders o full join paid p on p.order_id = o.id
    where o.status in ('paid', 'returned') or p.captured > 0
)
select begun::date as day, currency, count(*) filter (counts) as orders, money(sum(recognised), currency) as recognised,
       money(sum(captured), currency) as captured, money(sum(refunded), currency) as refunded,
       money(sum(captured) - sum(refunded) - sum(recognised), currency) as difference,
       count(*) filter (captured - refunded <> recognised) as orders_differing
from each
where begun >= getvariable('since') and begun < getvariable('until')
group by day, currency
order by day, currency
