-- The shop's tables as a run leaves them, as far as reports read them.
create table books (id bigint, title varchar, authors varchar[], language varchar, price_cents bigint, currency varchar,
    created_at timestamptz, deleted_at timestamptz);
create table stock_movements (id bigint, book_id bigint, delta bigint, cause varchar, created_at timestamptz);
create table orders (id uuid, customer_id varchar, status varchar, total_cents bigint, currency varchar, created_at timestamptz);
create table order_items (order_id uuid, line integer, book_id bigint, title varchar, quantity bigint, unit_price_cents bigint);
create table payments (id uuid, order_id uuid, amount_cents bigint, currency varchar, state varchar, created_at timestamptz);
create table ledger_entries (id bigint, payment_id uuid, account varchar, cents bigint, operation varchar);
create table sagas (id uuid, definition varchar, state varchar, steps json, cause json, created_at timestamptz, finished_at timestamptz);
