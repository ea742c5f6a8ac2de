-- +goose Up
-- One row at most, made by a restore to a point in time: sagas begun before it make no
-- call outside the shop until an operator deletes it.
CREATE TABLE saga_hold (
    only_one boolean     PRIMARY KEY DEFAULT true CHECK (only_one),
    before   timestamptz NOT NULL DEFAULT clock_timestamp()
);
