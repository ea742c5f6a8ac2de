-- Why do checkouts end without an order?
-- Of the checkouts begun in the time asked for, those that were cancelled or failed: at which step (the one that was
-- refused, else the last that was begun; "request" is before the first), share of all that were begun, and how
-- many seconds half of them took to their end. Those under way or stuck are not over; those that ended more than 35 days
-- ago are no longer on record.
-- since: 30d
-- chart: bar reason checkouts by state
with begun as (
    select state, coalesce(cause ->> 'code', 'unknown') as reason, epoch(finished_at) - epoch(created_at) as seconds,
           from_json(steps, '[{"name": "VARCHAR", "state": "VARCHAR", "startedAt": "VARCHAR"}]') as steps
    from coordinatordb.sagas
    where definition = 'checkout' and created_at >= getvariable('since') and created_at < getvariable('until')
)
select reason, state,
       coalesce(list_filter(steps, lambda s: s.state = 'refused')[1].name,
                list_filter(steps, lambda s: s.startedAt is not null)[-1].name, 'request') as step,
       count(*) as checkouts, percent(count(*), (select count(*) from begun)) as share,
       cast(median(seconds) as decimal(18, 1)) as median_seconds
from begun
where state in ('cancelled', 'failed')
group by all
order by checkouts desc, reason, state, step
