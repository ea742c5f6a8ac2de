-- Do customers come back, and what are they worth by then?
-- A cohort is those whose first order that was kept is of one month; month counts from it, active are those who ordered
-- in it, retention their percentage, net what they brought in it, lifetime_value what a customer of the cohort has brought
-- on average up to it.
-- since: 1y
-- chart: columns month retention by cohort currency
with firsts as (
    select customer_id, currency, date_trunc('month', min(created_at)) as cohort
    from orderdb.orders
    where status in ('placed', 'paid') and created_at < getvariable('until')
    group by all
), cohorts as (
    select cohort, currency, count(*) as customers,
           unnest(range(date_diff('month', cohort, getvariable('until') - interval '1 microsecond') + 1)) as month
    from firsts where cohort >= date_trunc('month', getvariable('since'))
    group by cohort, currency
), months as (
    select f.cohort, f.currency, date_diff('month', f.cohort, o.created_at) as month,
           count(distinct o.customer_id) as active, sum(o.total_cents) as cents
    from firsts f join orderdb.orders o on o.customer_id = f.customer_id and o.currency = f.currency
    where o.status in ('placed', 'paid') and o.created_at < getvariable('until')
    group by all
)
select c.cohort::date as cohort, c.currency, c.customers, c.month, coalesce(m.active, 0) as active,
       percent(coalesce(m.active, 0), c.customers) as retention, money(coalesce(m.cents, 0), c.currency) as net,
       money(round(sum(m.cents) over (partition by c.cohort, c.currency order by c.month) / c.customers), c.currency) as lifetime_value
from cohorts c left join months m on m.cohort = c.cohort and m.currency = c.currency and m.month = c.month
order by c.cohort, c.currency, c.month
