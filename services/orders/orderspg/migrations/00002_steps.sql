-- +goose Up

-- What the steps of sagas leave behind; see txn/step.
create table step_markers (
    saga       text not null,
    step       text not null,
    state      text not null check (state in ('done', 'refused', 'undone')),
    result     jsonb, -- of a step that was done; of a refused one its fault
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (saga, step)
);
-- For pruning: rows come in the order of their times.
create index step_markers_by_age on step_markers using brin (created_at);
