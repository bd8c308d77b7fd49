-- Plain SQL that PostgreSQL, Citus (as reference tables), CockroachDB and YugabyteDB all run.
--
-- Ids, keys and records are bytea: compared and kept byte for byte whatever the database's encoding and collation. A
-- unique index over text depends on the collation of the operating system, and an upgrade of that has let duplicates
-- in elsewhere. In psql, `SET bytea_output = 'escape'` shows them as text, and `WHERE session_id = 'order_...'` works.

CREATE TABLE IF NOT EXISTS waypost_sessions (
    session_id      bytea  NOT NULL PRIMARY KEY,
    merchant_id     bytea  NOT NULL,
    kind            text   NOT NULL,
    -- NULL when the create call had none; any number of those may exist.
    idempotency_key bytea,
    -- Microseconds since 1970: when the session's retention begins. Derived from the record.
    over_at         bigint NOT NULL,
    -- Counts the states of the session from 1.
    version         bigint NOT NULL,
    -- JSON: the whole session.
    record          bytea  NOT NULL,
    CONSTRAINT waypost_sessions_key UNIQUE (merchant_id, kind, idempotency_key)
);

-- For the sweep.
CREATE INDEX IF NOT EXISTS waypost_sessions_over ON waypost_sessions (over_at);

CREATE TABLE IF NOT EXISTS waypost_merchants (
    merchant_id bytea  NOT NULL PRIMARY KEY,
    -- Counts the changes from 1.
    version     bigint NOT NULL,
    -- JSON: the whole settings.
    record      bytea  NOT NULL
);
