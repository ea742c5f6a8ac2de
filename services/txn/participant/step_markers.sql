-- +goose Up
-- What became of the steps of sagas; see txn/participant.
create table step_markers (
    saga       text not null,
    step       text not null,
    state      text not null check (state in ('done', 'refused', 'undone')),
    result     jsonb, -- of a step that was done; of a refused one its fault
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (saga, step)
);
create index step_markers_by_age on step_markers (created_at);
-- Rows go all the time: the table is vacuumed once a fiftieth of it has gone, not a fifth.
alter table step_markers set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
select warehouse_track('step_markers');
