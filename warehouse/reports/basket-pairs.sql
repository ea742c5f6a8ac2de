-- Which books are bought together?
-- together is the orders with both books, share_of_a how many percent of the orders with the first have the second too,
-- lift how much more often both are bought together than if buyers of one did not care for the other (1: they do not).
-- Orders that were cancelled or came back do not count.
-- since: 90d
-- limit: 20
-- chart: bar title_a,title_b together
with bought as (
    select order_id, book_id from lines where kept
), each as (
    select book_id, count(*) as orders from bought group by all
), pairs as (
    select a.book_id as book_a, b.book_id as book_b, count(*) as together
    from bought a join bought b on a.order_id = b.order_id and a.book_id < b.book_id
    group by all
)
select p.book_a, a.title as title_a, p.book_b, b.title as title_b, p.together,
       percent(p.together, ea.orders) as share_of_a, percent(p.together, eb.orders) as share_of_b,
       cast(p.together * (select count(*) from ordered where kept) / (ea.orders * eb.orders) as decimal(18, 2)) as lift
from pairs p
join each ea on ea.book_id = p.book_a
join each eb on eb.book_id = p.book_b
left join bookdb.books a on a.id = p.book_a
left join bookdb.books b on b.id = p.book_b
order by p.together desc, lift desc, p.book_a, p.book_b
