-- One row per rollout; written whole before its first effect, ended once.
CREATE TABLE rollouts (
    id       TEXT PRIMARY KEY NOT NULL,
    fleet    TEXT NOT NULL,
    number   INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    plan     TEXT NOT NULL,
    fences   TEXT NOT NULL,
    nonce    TEXT NOT NULL,
    holder   TEXT NOT NULL,
    started  INTEGER NOT NULL,
    commit_id TEXT,
    changes  INTEGER NOT NULL,
    verdict  TEXT,
    reason   TEXT,
    ended    INTEGER,
    UNIQUE (fleet, number)
) STRICT;

-- Rollouts without a verdict are looked for at every start.
CREATE INDEX rollouts_open ON rollouts (started) WHERE verdict IS NULL;

-- What was asked for, what came of it and what was told, in the order of writing.
CREATE TABLE entries (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    rollout TEXT NOT NULL REFERENCES rollouts (id),
    what    TEXT NOT NULL CHECK (what IN ('issued', 'outcome', 'event')),
    body    TEXT NOT NULL
) STRICT;

CREATE INDEX entries_rollout ON entries (rollout, what, seq);
