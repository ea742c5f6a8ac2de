-- Whose books are sold most?
-- A book of several authors counts for each of them, so the rows add up to more than was sold. Authors are those that
-- the catalogue has now. What was cancelled or came back is in taken_back only.
-- since: 30d
-- limit: 20
-- chart: bar author net by currency
select a.author, s.currency, count(*) filter (s.copies > 0) as books, sum(s.copies)::bigint as copies,
       money(sum(s.net_cents), s.currency) as net, money(sum(s.back_cents), s.currency) as taken_back
from sold s
left join (select id, unnest(list_distinct(authors)) as author from bookdb.books) a on a.id = s.book_id
group by a.author, s.currency
order by net desc, author, s.currency
