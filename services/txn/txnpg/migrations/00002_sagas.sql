-- +goose Up
-- One row per saga: the claim of an Idempotency-Key, how far its steps are, and
-- when it wants to be looked at next. A change is made only to the version that
-- was read, so whoever else had the saga in hand notices.
CREATE TABLE sagas (
    id              uuid        PRIMARY KEY,
    definition      text        NOT NULL,
    caller          text        NOT NULL CHECK (length(caller) <= 256),
    idempotency_key text        CHECK (length(idempotency_key) <= 128),
    request_hash    bytea       NOT NULL,
    state           text        NOT NULL CHECK (state IN ('running', 'waiting_approval', 'compensating', 'stuck',
                                                          'completed', 'cancelled', 'failed')),
    steps           jsonb       NOT NULL,
    data            jsonb       NOT NULL,
    cause           jsonb,
    failures        integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    deadline        timestamptz NOT NULL,
    wake_at         timestamptz,
    answer_status   integer     NOT NULL CHECK (answer_status BETWEEN 200 AND 499),
    answer_body     bytea       NOT NULL,
    version         bigint      NOT NULL DEFAULT 1 CHECK (version >= 1),
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    -- An expired key becomes null, which is unique.
    UNIQUE (caller, idempotency_key),
    CHECK ((state IN ('completed', 'cancelled', 'failed')) = (finished_at IS NOT NULL)),
    -- What is not over is looked at again, whatever happens.
    CHECK ((wake_at IS NULL) = (finished_at IS NOT NULL))
) WITH (fillfactor = 70);

COMMENT ON COLUMN sagas.data IS 'warehouse: omit';
COMMENT ON COLUMN sagas.answer_body IS 'warehouse: omit';
COMMENT ON COLUMN sagas.idempotency_key IS 'warehouse: hash';

CREATE INDEX sagas_due ON sagas (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX sagas_over ON sagas (finished_at) WHERE finished_at IS NOT NULL;

-- What happened to a saga, as those see it who follow it. seq is its version.
CREATE TABLE saga_events (
    saga_id uuid        NOT NULL,
    seq     bigint      NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    news    jsonb       NOT NULL,
    PRIMARY KEY (saga_id, seq)
);
