-- What tells the warehouse which rows have changed since its last cut (warehouse/README.md). Migrations call
-- warehouse_track('things') for each of their tables that grows; the others are read anew each time. Old tombstones are
-- deleted by clean.Tombstones.
create table if not exists warehouse_gone (
    id          bigint      generated always as identity primary key,
    table_name  text        not null,
    key         jsonb, -- the primary key of a row that was deleted; null: all rows were
    changed_xid xid8        not null default pg_current_xact_id(),
    gone_at     timestamptz not null default now()
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
create index if not exists warehouse_gone_by_xid on warehouse_gone (changed_xid);

create or replace function warehouse_changed() returns trigger language plpgsql as $$
begin
    new.changed_xid := pg_current_xact_id();
    return new;
end $$;

-- Arguments: the table's name and the columns of its key.
create or replace function warehouse_deleted() returns trigger language plpgsql as $$
begin
    if tg_op = 'TRUNCATE' then
        insert into warehouse_gone (table_name) values (tg_argv[0]);
        return null;
    end if;
    insert into warehouse_gone (table_name, key)
    select tg_argv[0], (select jsonb_object_agg(k, to_jsonb(g) -> k) from unnest(tg_argv[1:]) k) from gone g;
    return null;
end $$;

-- indexed: whether the rows that changed are found without reading all. An index on what each update changes costs a
-- hot and narrow table its updates in place, and reading it whole is quick.
--
-- The column has a value of its own in each row, so adding it writes the table anew while nobody can read it: this is for
-- tables that are still small, best in the migration that makes them. Of a large one it is refused: such a migration adds
-- the column without a default, sets the default, fills the rows in batches, makes the index concurrently (-- +goose NO
-- TRANSACTION), and creates the three triggers below.
create or replace function warehouse_track(tracked regclass, indexed boolean default true) returns void language plpgsql as $$
declare
    key text := (select string_agg(quote_literal(a.attname), ', ' order by k.place)
                 from pg_index i cross join unnest(i.indkey) with ordinality k (attnum, place)
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                 where i.indrelid = tracked and i.indisprimary);
    name text := quote_literal((select relname from pg_class where oid = tracked));
begin
    if key is null then
        raise 'the table % has no primary key: a row that is deleted cannot be told', tracked;
    end if;
    if pg_relation_size(tracked) > 256 * 1024 * 1024 then
        raise object_not_in_prerequisite_state using message = format('the table %s is too large to be written anew at once', tracked),
            hint = 'See warehouse_track in platform/pg/track.sql for how to track a large table.';
    end if;
    execute format('alter table %s add column changed_xid xid8 not null default pg_current_xact_id()', tracked);
    if indexed then
        execute format('create index on %s (changed_xid)', tracked);
    end if;
    execute format('create trigger warehouse_changed before update on %s for each row execute function warehouse_changed()', tracked);
    execute format('create trigger warehouse_deleted after delete on %s referencing old table as gone
                    for each statement execute function warehouse_deleted(%s, %s)', tracked, name, key);
    execute format('create trigger warehouse_emptied after truncate on %s
                    for each statement execute function warehouse_deleted(%s, %s)', tracked, name, key);
end $$;
