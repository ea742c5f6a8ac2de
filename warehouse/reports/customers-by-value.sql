-- Which customers are worth most?
-- net is the money of all their orders but those that were cancelled or came back, which is in taken_back; average is
-- that of an order that was kept.
-- since: all
-- limit: 20
-- chart: bar customer net by currency
select customer_id as customer, currency, count(*) filter (kept) as orders, min(created_at)::date as first_order,
       max(created_at)::date as last_order, money(coalesce(sum(total_cents) filter (kept), 0), currency) as net,
       money(round(avg(total_cents) filter (kept)), currency) as average,
       money(coalesce(sum(total_cents) filter (not kept), 0), currency) as taken_back
from ordered
group by customer_id, currency
order by net desc, customer, currency
