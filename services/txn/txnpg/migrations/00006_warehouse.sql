-- +goose Up
-- What the warehouse reads only the changes of. Whether a transaction is decided and unfinished is asked with each
-- cut, while decisions wait.
select warehouse_track('transactions');
select warehouse_track('sagas');
select warehouse_track('saga_events');
CREATE INDEX transactions_committing ON transactions (gid) WHERE state = 'committing';

COMMENT ON COLUMN transactions.caller IS 'warehouse: hash';
COMMENT ON COLUMN transactions.idempotency_key IS 'warehouse: hash';
COMMENT ON COLUMN transactions.request_hash IS 'warehouse: omit';
COMMENT ON COLUMN transactions.outcome_body IS 'warehouse: omit';
COMMENT ON COLUMN sagas.caller IS 'warehouse: hash';
COMMENT ON COLUMN sagas.request_hash IS 'warehouse: omit';
