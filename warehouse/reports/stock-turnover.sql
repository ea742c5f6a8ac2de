-- How fast does stock turn over, and for how many days will it last?
-- From the stock ledger: sold is what orders and checkouts took less what came back in the time asked for, average_stock
-- is over every moment of it (of a younger book, since it came), turnover is how often that was sold, and
-- days_left is how long the stock lasts if books go on being sold like this; null is for ever.
-- since: 30d
-- limit: 50
-- chart: bar title days_left
with book as (
    select id, title, greatest(created_at, getvariable('since')) as since from bookdb.books
    where created_at < getvariable('until') and (deleted_at is null or deleted_at >= getvariable('until'))
), counted as (
    select b.id as book_id, b.since, coalesce(sum(m.delta), 0)::bigint as stock,
           coalesce(-sum(m.delta) filter (m.created_at >= b.since and m.cause not in ('initial', 'adjust')), 0)::bigint as sold,
           coalesce(sum(m.delta * case when m.created_at <= b.since then 1
               else (epoch(getvariable('until')) - epoch(m.created_at)) / (epoch(getvariable('until')) - epoch(b.since)) end), 0) as average
    from book b left join bookdb.stock_movements m on m.book_id = b.id and m.created_at < getvariable('until')
    group by all
)
select c.book_id, b.title, c.stock, c.sold, cast(c.average as decimal(18, 2)) as average_stock,
       cast(c.sold / nullif(c.average, 0) as decimal(18, 2)) as turnover,
       cast(case when c.sold > 0 then c.stock * date_diff('second', c.since, getvariable('until')) / 86400 / c.sold end as decimal(18, 1)) as days_left
from counted c join book b on b.id = c.book_id
order by days_left nulls last, c.sold desc, c.book_id
