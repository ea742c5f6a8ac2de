-- +goose Up

create table payments (
    id           uuid primary key,
    key          text not null unique check (char_length(key) between 1 and 128),
    token        text not null,
    amount_cents bigint not null check (amount_cents > 0),
    currency     text not null check (currency ~ '^[A-Z]{3}$'),
    state        text not null check (state in ('authorised', 'declined')),
    created_at   timestamptz not null
);

create table ledger_entries (
    id         bigint generated always as identity primary key,
    payment_id uuid not null references payments,
    account    text not null check (account in ('customer', 'held')),
    cents      bigint not null check (cents <> 0)
);
create index ledger_entries_payment on ledger_entries (payment_id);

-- Whatever a transaction adds to a payment's ledger sums to zero when it ends.
-- +goose StatementBegin
create function ledger_sums_to_zero() returns trigger language plpgsql as $$
begin
    if (select sum(cents) from ledger_entries where payment_id = coalesce(new.payment_id, old.payment_id)) <> 0 then
        raise check_violation using constraint = 'ledger_sum', message = 'the ledger of a payment must sum to zero';
    end if;
    return null;
end
$$;
-- +goose StatementEnd

create constraint trigger ledger_sums_to_zero after insert or update or delete on ledger_entries
    deferrable initially deferred for each row execute function ledger_sums_to_zero();
