-- +goose Up
-- Rows go all the time (kit/clean): they are vacuumed by hundreds of thousands, not when a fifth of a large table has gone.
ALTER TABLE transactions SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
ALTER TABLE sagas SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
ALTER TABLE saga_events SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500000);
ALTER TABLE warehouse_gone SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
