-- Lines of logs that wait, in the order in which they were taken: they go after everything else, and first when there is
-- no room.
CREATE TABLE lines (
    sequence INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
ALTER TABLE frozen ADD COLUMN lines_bytes INTEGER NOT NULL DEFAULT 0;

-- Lines that were dropped since the last batch was frozen.
CREATE TABLE lines_gap (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    dropped INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
) STRICT;
