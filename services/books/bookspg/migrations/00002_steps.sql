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

-- Steps of sagas move stock too: a checkout takes copies, its release gives
-- them back, a return gives back what had been sold.
alter table stock_movements
    add column saga text,
    add column step text,
    drop constraint stock_movements_cause_check,
    drop constraint stock_movements_check,
    add constraint stock_movements_cause_check
        check (cause in ('initial', 'adjust', 'order', 'cancel', 'checkout', 'release', 'return')),
    add constraint stock_movements_origin_check
        check ((gid is not null) = (cause in ('order', 'cancel'))
            and (saga is not null) = (cause in ('checkout', 'release', 'return'))
            and (step is not null) = (saga is not null));
create index stock_movements_by_saga on stock_movements (saga) where saga is not null;
