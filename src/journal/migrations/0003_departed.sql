-- Nodes that left a fleet before they were cleaned, and those that an operator said are gone for good.
CREATE TABLE departed (
    fleet     TEXT NOT NULL,
    node      TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    since     INTEGER NOT NULL,
    forgotten_by TEXT,
    reason    TEXT,
    forgotten INTEGER,
    PRIMARY KEY (fleet, node)
) STRICT;
