-- +goose Up
-- Whether a branch of a two-phase commit is committed or aborted; see txn/participant.
create table branch_markers (
    gid        text not null,
    branch     text not null,
    state      text not null check (state in ('prepared', 'aborted')),
    deadline   timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (gid, branch)
);
create index branch_markers_by_age on branch_markers (state, created_at);
-- Rows go all the time: the table is vacuumed once a fiftieth of it has gone, not a fifth.
alter table branch_markers set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
select warehouse_track('branch_markers');
