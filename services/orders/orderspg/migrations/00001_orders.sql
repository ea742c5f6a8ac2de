-- +goose Up

create table orders (
    id          uuid primary key,
    customer_id text not null check (char_length(customer_id) between 1 and 200),
    status      text not null check (status in ('placed', 'paid', 'cancelled', 'returned')),
    total_cents bigint not null check (total_cents >= 0),
    currency    text not null check (currency ~ '^[A-Z]{3}$'),
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    version     bigint not null default 1 check (version >= 1),
    check (updated_at >= created_at)
);

-- Lists go from the newest to the oldest, with and without a filter.
create index orders_newest on orders (created_at desc, id desc);
create index orders_by_customer on orders (customer_id, created_at desc, id desc);
create index orders_by_status on orders (status, created_at desc, id desc);

create table order_items (
    order_id         uuid not null references orders,
    line             int not null check (line between 1 and 100),
    book_id          bigint not null check (book_id > 0),
    title            text not null check (char_length(title) between 1 and 500),
    quantity         bigint not null check (quantity between 1 and 1000000),
    unit_price_cents bigint not null check (unit_price_cents >= 0),
    primary key (order_id, line),
    unique (order_id, book_id)
);

-- The lines of an order come in one statement and stay as they are; their sum
-- is the order's total.
-- +goose StatementBegin
create function order_items_make_the_total() returns trigger language plpgsql as $$
begin
    if exists (
        select from orders o
        join (select order_id, sum(quantity * unit_price_cents) as cents from added group by order_id) s on s.order_id = o.id
        where s.cents <> o.total_cents
    ) then
        raise check_violation using constraint = 'orders_total', message = 'the lines do not add up to the total of their order';
    end if;
    return null;
end
$$;

create function order_items_stay() returns trigger language plpgsql as $$
begin
    raise check_violation using constraint = 'order_items_stay', message = 'the lines of an order never change';
end
$$;
-- +goose StatementEnd

create trigger order_items_make_the_total after insert on order_items
    referencing new table as added for each statement execute function order_items_make_the_total();
create trigger order_items_stay before update or delete or truncate on order_items
    for each statement execute function order_items_stay();

-- Whether a two-phase commit's branch is committed or aborted; see txn/branch.
create table branch_markers (
    gid        text not null,
    branch     text not null,
    state      text not null check (state in ('prepared', 'aborted')),
    deadline   timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (gid, branch)
);
