-- +goose Up
-- One row per attempt. The row is the claim of an Idempotency-Key, the lease
-- of the instance that drives the attempt, and the decision with its outcome,
-- so that none of them can be had without the others.
CREATE TABLE transactions (
    gid             text        PRIMARY KEY CHECK (gid ~ '^[a-z0-9]{1,64}$'),
    kind            text        NOT NULL CHECK (kind IN ('place_order', 'cancel_order')),
    state           text        NOT NULL DEFAULT 'preparing'
                                CHECK (state IN ('preparing', 'committing', 'committed', 'aborted', 'heuristic')),
    caller          text        NOT NULL CHECK (length(caller) <= 256),
    idempotency_key text        NOT NULL CHECK (length(idempotency_key) <= 128),
    attempt         integer     NOT NULL CHECK (attempt >= 1),
    request_hash    bytea       NOT NULL,
    branches        text[]      NOT NULL CHECK (cardinality(branches) >= 1),
    payload         jsonb       NOT NULL,
    owner           text        NOT NULL,
    lease_until     timestamptz NOT NULL,
    deadline        timestamptz NOT NULL,
    outcome_status  integer     CHECK (outcome_status BETWEEN 200 AND 499),
    outcome_body    bytea,
    notes           jsonb,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at      timestamptz,
    finished_at     timestamptz,
    UNIQUE (caller, idempotency_key, attempt),
    -- A commit is decided together with what it came to.
    CHECK (state NOT IN ('committing', 'committed') OR outcome_status IS NOT NULL),
    CHECK ((outcome_status IS NULL) = (outcome_body IS NULL)),
    CHECK ((state = 'preparing') = (decided_at IS NULL)),
    CHECK (finished_at IS NULL OR state IN ('committed', 'aborted', 'heuristic')),
    CHECK (finished_at IS NOT NULL OR state NOT IN ('committed', 'heuristic'))
);

-- What recovery looks for, and nothing else: small however long the table.
CREATE INDEX transactions_unfinished ON transactions (lease_until) WHERE finished_at IS NULL;

-- The operators' list, newest first.
CREATE INDEX transactions_newest ON transactions (created_at DESC, gid DESC);
