-- +goose Up

-- What has changed and may not have been announced to the caches: see
-- cache/outbox. Rows live for a moment, so the table is vacuumed by how many
-- have gone and not by how many there are.
create table cache_outbox (
    id            bigint generated always as identity primary key,
    book_id       bigint not null,
    version       bigint not null default 0, -- of the entry; 0: it is the stock that has changed
    stock_version bigint not null default 0, -- of the stock; 0: it is the entry that has changed
    created_at    timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Triggers, so that no writer can forget it; one for each statement, not for
-- each row. A prepared transaction may have them (it could not NOTIFY).
-- +goose StatementBegin
create function entries_changed() returns trigger
    language plpgsql as $$
begin
    insert into cache_outbox (book_id, version) select id, version from changed;
    return null;
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
create function stock_changed() returns trigger
    language plpgsql as $$
begin
    insert into cache_outbox (book_id, stock_version) select book_id, version from changed;
    return null;
end $$;
-- +goose StatementEnd

create trigger books_added after insert on books
    referencing new table as changed for each statement execute function entries_changed();
create trigger books_edited after update on books
    referencing new table as changed for each statement execute function entries_changed();
create trigger stock_added after insert on stock
    referencing new table as changed for each statement execute function stock_changed();
create trigger stock_moved after update on stock
    referencing new table as changed for each statement execute function stock_changed();
