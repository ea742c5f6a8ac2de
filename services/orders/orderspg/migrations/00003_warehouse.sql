-- +goose Up
-- What the warehouse reads only the changes of.
select warehouse_track('orders');
select warehouse_track('order_items');
select warehouse_track('branch_markers');
select warehouse_track('step_markers');
