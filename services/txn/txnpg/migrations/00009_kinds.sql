-- +goose Up
-- Kinds are named by the use cases, unknown by the engine. NOT VALID: older rows were held to a list of three.
ALTER TABLE transactions DROP CONSTRAINT transactions_kind_check;
ALTER TABLE transactions ADD CONSTRAINT transactions_kind_check CHECK (kind ~ '^[a-z_]{1,32}$') NOT VALID;
