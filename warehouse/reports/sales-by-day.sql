-- What is sold each day?
-- Orders, copies and net leave out what was cancelled or came back later; taken_back is the money of that. Both stand
-- at the day of the order. Orders that are placed but not paid yet count as sold.
-- since: 30d
-- chart: columns day net by currency
select first_day as day, * exclude (first_day) from sales_by('day')
order by day, currency
