-- +goose Up

-- Payments belong to orders and go on from authorised. The key of a payment is the saga
-- that authorised it. Rows from before orders had payments get an order of their own.
alter table payments
    add column order_id   uuid not null unique default gen_random_uuid(),
    add column method     text not null check (method ~ '^[a-z][a-z_]{0,31}$') default 'card',
    add column updated_at timestamptz not null default now(),
    drop constraint payments_state_check,
    add constraint payments_state_check check (state in ('authorised', 'captured', 'voided', 'refunded', 'declined')),
    drop constraint payments_amount_cents_check,
    add constraint payments_amount_cents_check check (amount_cents between 0 and 1000000000000);
update payments set updated_at = created_at;
alter table payments
    alter column order_id drop default,
    alter column method drop default,
    alter column updated_at drop default,
    add constraint payments_updated_check check (updated_at >= created_at);

comment on column payments.token is 'warehouse: hash';

-- Each operation moves a payment's money once.
alter table ledger_entries
    add column operation text not null check (operation in ('authorise', 'capture', 'void', 'refund')) default 'authorise',
    drop constraint ledger_entries_account_check,
    add constraint ledger_entries_account_check check (account in ('customer', 'held', 'merchant')),
    add constraint ledger_entries_once unique (payment_id, operation, account);
alter table ledger_entries alter column operation drop default;
drop index ledger_entries_payment; -- the constraint's own begins with the same column

-- What became of the steps of sagas; see txn/step.
create table step_markers (
    saga       text not null,
    step       text not null,
    state      text not null check (state in ('done', 'refused', 'undone')),
    result     jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (saga, step)
);

-- How often the simulated provider was called with a token that counts.
create table provider_attempts (
    key        text not null,
    operation  text not null check (operation in ('authorise', 'capture', 'void', 'refund')),
    calls      bigint not null default 1 check (calls > 0),
    updated_at timestamptz not null default now(),
    primary key (key, operation)
);
