-- The newest standing order for each runbook and watch entry, and how many of its executions are used up.
CREATE TABLE standing (
    runbook TEXT NOT NULL,
    watch TEXT NOT NULL,
    issued_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (runbook, watch)
) STRICT;

-- Uses of standing orders stand in the journal below zero, counted here, where no sequence reaches them.
ALTER TABLE state ADD COLUMN standing_runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN standing_count INTEGER;
ALTER TABLE journal ADD COLUMN standing_held INTEGER;
