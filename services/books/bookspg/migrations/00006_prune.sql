-- +goose NO TRANSACTION
-- +goose Up
-- Indexes for what is deleted by its age (platform/clean), made while the shop writes. One that was not finished is made anew.
-- Not BRIN: once room that was freed is used again, each range has old and new rows, and every look reads the whole table.
drop index concurrently if exists branch_markers_by_age;
create index concurrently branch_markers_by_age on branch_markers (state, created_at);
drop index concurrently if exists step_markers_by_age;
create index concurrently step_markers_by_age on step_markers (created_at);

-- Rows go all the time: the table is vacuumed once a fiftieth of it has gone, not a fifth.
alter table branch_markers set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table step_markers set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table idempotency_keys set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
alter table warehouse_gone set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
