-- Holds of other rollouts that an operator of this controller ended.
CREATE TABLE unlocks (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    fleet   TEXT NOT NULL,
    rollout TEXT NOT NULL,
    held_by TEXT NOT NULL,
    nodes   TEXT NOT NULL,
    by      TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
