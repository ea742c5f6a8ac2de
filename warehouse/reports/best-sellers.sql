-- Which books are sold most?
-- By copies, without those of orders that were cancelled or came back. Title and authors are those that the catalogue
-- has now; a book that was deleted since is among them.
-- since: 30d
-- limit: 20
-- chart: bar title copies
select s.book_id, b.title, array_to_string(b.authors, ', ') as authors, s.orders, s.copies, s.currency,
       money(s.net_cents, s.currency) as net
from sold s left join bookdb.books b on b.id = s.book_id
where s.copies > 0
order by s.copies desc, s.net_cents desc, s.book_id, s.currency
