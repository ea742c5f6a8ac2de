-- +goose NO TRANSACTION
-- +goose Up
-- Indexes for what is deleted by its age (kit/clean), made while the shop writes. One that was not finished is made anew.
drop index concurrently if exists step_markers_by_age;
create index concurrently step_markers_by_age on step_markers (created_at);
drop index concurrently if exists provider_attempts_by_age;
create index concurrently provider_attempts_by_age on provider_attempts (updated_at);

-- Rows go all the time: they are vacuumed by hundreds of thousands, not when a fifth of a large table has gone.
alter table step_markers set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
alter table provider_attempts set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
alter table warehouse_gone set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
