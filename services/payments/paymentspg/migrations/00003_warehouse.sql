-- +goose Up
-- What the warehouse reads only the changes of.
select warehouse_track('payments');
select warehouse_track('ledger_entries');
select warehouse_track('step_markers');
