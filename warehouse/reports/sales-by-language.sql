-- In which languages are books sold?
-- A language is null where the catalogue does not know it. What was cancelled or came back is in taken_back only.
-- share is of the net in the same currency.
-- since: 30d
-- chart: bar language net by currency
select b.language, s.currency, count(*) filter (s.copies > 0) as books, sum(s.copies)::bigint as copies,
       money(sum(s.net_cents), s.currency) as net,
       percent(sum(s.net_cents), sum(sum(s.net_cents)) over (partition by s.currency)) as share,
       money(sum(s.back_cents), s.currency) as taken_back
from sold s left join bookdb.books b on b.id = s.book_id
group by b.language, s.currency
order by net desc, b.language, s.currency
