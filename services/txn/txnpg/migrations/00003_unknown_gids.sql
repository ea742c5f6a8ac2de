-- +goose Up
-- What a participant asks about and nobody has on record is presumed aborted,
-- which its row says from then on. That it belongs to no request shows in its kind.
ALTER TABLE transactions DROP CONSTRAINT transactions_kind_check;
ALTER TABLE transactions ADD CONSTRAINT transactions_kind_check CHECK (kind IN ('place_order', 'cancel_order', 'unknown'));

-- Few, kept for ever, and counted every few seconds.
CREATE INDEX transactions_heuristic ON transactions (finished_at) WHERE state = 'heuristic';
