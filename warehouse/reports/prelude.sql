-- What the reports share; `warehouse report` runs it before each. By hand: run it in a session of your own on a
-- published version, then say what is asked for,
--   set variable since = timestamptz '2026-11-01'; set variable until = timestamptz '2026-12-01';
-- Days, weeks and months are those of the session's TimeZone. until is not part of the time asked for.

-- Minor units as a decimal. decimals(currency) is in each version, made from the shop's own table of currencies; a column of
-- this type beside one that is named currency is shown with that currency's decimals.
create or replace temp macro money(cents, currency) as
    cast(cast(cents as decimal(38, 0)) * cast(power(10.0, -decimals(currency)) as decimal(5, 4)) as decimal(38, 4));

create or replace temp macro percent(part, whole) as cast(round(100.0 * part / nullif(whole, 0), 1) as decimal(9, 1));

-- The orders of the time asked for. An order that was cancelled or came back, whenever that was, is not kept.
create or replace temp view ordered as
select id as order_id, customer_id, created_at, currency, total_cents, status in ('placed', 'paid') as kept
from orderdb.orders
where created_at >= getvariable('since') and created_at < getvariable('until');

create or replace temp view lines as
select o.order_id, o.created_at, o.currency, o.kept, i.book_id, i.quantity, i.quantity * i.unit_price_cents as cents
from ordered o join orderdb.order_items i on i.order_id = o.order_id;

-- What was sold of each book. A book is once in an order.
create or replace temp view sold as
select book_id, currency, count(*) filter (kept) as orders, coalesce(sum(quantity) filter (kept), 0)::bigint as copies,
       coalesce(sum(cents) filter (kept), 0) as net_cents, coalesce(sum(cents) filter (not kept), 0) as back_cents
from lines group by all;

-- Sales by 'day', 'week' (from Monday) or 'month'; between the first and the last, those without a sale have a row too.
create or replace temp macro sales_by(period) as table
with money_of as (
    select date_trunc(period, created_at)::date as first_day, currency, count(*) filter (kept) as orders,
           sum(total_cents) filter (kept) as net_cents, sum(total_cents) filter (not kept) as back_cents
    from ordered group by all
), copies_of as (
    select date_trunc(period, created_at)::date as first_day, currency, sum(quantity) as copies
    from lines where kept group by all
), periods as (
    select unnest(generate_series(min(first_day), max(first_day), cast('1 ' || period as interval)))::date as first_day
    from money_of
)
select p.first_day, c.currency, coalesce(m.orders, 0) as orders, coalesce(s.copies, 0)::bigint as copies,
       money(coalesce(m.net_cents, 0), c.currency) as net, money(coalesce(m.back_cents, 0), c.currency) as taken_back
from periods p cross join (select distinct currency from money_of) c
left join money_of m on m.first_day = p.first_day and m.currency = c.currency
left join copies_of s on s.first_day = p.first_day and s.currency = c.currency;
