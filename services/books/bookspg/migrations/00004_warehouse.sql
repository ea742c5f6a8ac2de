-- +goose Up
-- What the warehouse reads only the changes of. Keys of requests and what the caches are to hear live for a day or
-- for a moment: those are read whole.
select warehouse_track('books');
select warehouse_track('stock', indexed => false);
select warehouse_track('stock_movements');
select warehouse_track('branch_markers');
select warehouse_track('step_markers');

comment on column idempotency_keys.caller is 'warehouse: hash';
comment on column idempotency_keys.key is 'warehouse: hash';
comment on column idempotency_keys.request_hash is 'warehouse: omit';
comment on column idempotency_keys.headers is 'warehouse: omit';
comment on column idempotency_keys.body is 'warehouse: omit';
