-- The outbox as a stream: who it is, and the last batch that the control plane acknowledged.
CREATE TABLE stream (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id BLOB NOT NULL CHECK (length(id) = 16),
    number INTEGER NOT NULL CHECK (number >= 0),
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;

-- What waits, in the order in which it was taken. rank: 0 an ongoing event, 1 another event, 2 evidence.
CREATE TABLE record (
    sequence INTEGER PRIMARY KEY,
    rank INTEGER NOT NULL CHECK (rank IN (0, 1, 2)),
    at_ms INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE INDEX record_by_rank ON record (rank);

-- The batch on its way: sent byte for byte until it is acknowledged.
CREATE TABLE frozen (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL,
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    records BLOB NOT NULL,
    telemetry_bytes INTEGER NOT NULL,
    evidence_bytes INTEGER NOT NULL,
    oldest_ms INTEGER NOT NULL
) STRICT;

-- What was dropped since the last batch was frozen, because there was no room.
CREATE TABLE gap (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    dropped INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
) STRICT;

-- How far each source has been read.
CREATE TABLE cursor (
    source TEXT PRIMARY KEY,
    cursor BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- How each fault stood when it was last looked at.
CREATE TABLE detector (
    fault TEXT NOT NULL,
    watch TEXT NOT NULL,
    raised INTEGER NOT NULL CHECK (raised IN (0, 1)),
    said_ms INTEGER NOT NULL,
    held_ms INTEGER NOT NULL,
    PRIMARY KEY (fault, watch)
) STRICT, WITHOUT ROWID;
