-- What is sold each week?
-- Orders, copies and net leave out what was cancelled or came back later; taken_back is the money of that. Both stand
-- at the week of the order, named by its Monday. Orders that are placed but not paid yet count as sold.
-- since: 12w
-- chart: columns week net by currency
select first_day as week, * exclude (first_day) from sales_by('week')
order by week, currency
