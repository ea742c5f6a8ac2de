-- Do customers come back, and what are they worth by then?
-- A cohort is those whose first order that was kept is of one month; month counts from it, active are those who ordered
-- in it, retention their percentage, net what they brought in it, lifetime_value what a customer of the cohort has brought
-- on average up to it. Months in which nobody ordered have no row.
-- since: 1y
-- chart: columns month retention by cohort currency
with firsts as (
    select customer_id, currency, date_trunc('month', min(created_at)) as cohort
    from orderdb.orders
    where status in ('placed', 'paid') and created_at < getvariable('until')
    group by all
), members as (
    select *, count(*) over (partition by cohort, currency) as customers from firsts
    where cohort >= date_trunc('month', getvariable('since'))
), months as (
    select m.cohort, m.currency, m.customers, date_diff('month', m.cohort, date_trunc('month', o.created_at)) as month,
           count(distinct o.customer_id) as active, sum(o.total_cents) as cents
    from members m join orderdb.orders o on o.customer_id = m.customer_id and o.currency = m.currency
    where o.status in ('placed', 'paid') and o.created_at < getvariable('until')
    group by all
)
select cohort::date as cohort, currency, customers, month, active, percent(active, customers) as retention,
       money(cents, currency) as net,
       money(round(sum(cents) over (partition by cohort, currency order by month) / customers), currency) as lifetime_value
from months
order by cohort, currency, month
