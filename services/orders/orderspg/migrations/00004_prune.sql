-- +goose NO TRANSACTION
-- +goose Up
-- Indexes for what is deleted by its age (kit/clean), made while the shop writes. One that was not finished is made anew.
-- Not BRIN: once room that was freed is used again, each range has old and new rows, and every look reads the whole table.
drop index concurrently if exists branch_markers_by_age;
create index concurrently branch_markers_by_age on branch_markers (state, created_at);
drop index concurrently if exists step_markers_by_age;
create index concurrently step_markers_by_age on step_markers (created_at);

-- Rows go all the time: they are vacuumed by hundreds of thousands, not when a fifth of a large table has gone.
alter table branch_markers set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
alter table step_markers set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
alter table warehouse_gone set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
