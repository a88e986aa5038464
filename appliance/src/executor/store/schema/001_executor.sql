-- Times are milliseconds. "active": of this executor's own active time (see time.rs); "_ms" alone: Unix, UTC.
-- Serials and sequences are unsigned 64-bit numbers, kept bit for bit; SQL never compares those that others choose.

CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    incarnation BLOB NOT NULL CHECK (length(incarnation) = 16),
    evidence_key TEXT NOT NULL,
    -- The TLS key last proven; pinned from the adoption on.
    tls_spki BLOB,
    order_high INTEGER NOT NULL DEFAULT 0,
    -- Certainly past.
    floor_ms INTEGER NOT NULL,
    active INTEGER NOT NULL DEFAULT 0,
    -- One moment by both clocks.
    mark_active INTEGER,
    mark_trusted_ms INTEGER,
    -- The end of the chain.
    chain_next INTEGER NOT NULL DEFAULT 0,
    chain_head BLOB NOT NULL DEFAULT (zeroblob(32)),
    heartbeat_active INTEGER,
    refusals_not_signed INTEGER NOT NULL DEFAULT 0,
    -- Why orders were held when evidence last said so.
    held TEXT
) STRICT;

CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    organization TEXT NOT NULL,
    tenant TEXT NOT NULL,
    appliance TEXT NOT NULL,
    certificate BLOB NOT NULL
) STRICT;

-- The newest of each kind ever verified, in force or not.
CREATE TABLE document (
    kind TEXT PRIMARY KEY CHECK (kind IN ('charter', 'catalogue', 'policy')),
    serial INTEGER NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

-- The newest checkpoint verified, and the one that does not continue it, if one was ever shown.
CREATE TABLE checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE TABLE alarm (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    fork INTEGER NOT NULL CHECK (fork IN (0, 1)),
    size INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

-- Evidence whose inclusion in the log is not proven yet.
CREATE TABLE evidence (
    idx INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    bytes INTEGER NOT NULL,
    envelope BLOB NOT NULL
) STRICT;

-- Orders accepted. An order's row moves from accepted to started to finished, or from accepted to refused; never back.
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    order_id TEXT NOT NULL,
    runbook TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('accepted', 'started', 'finished', 'refused')),
    -- Empty once it is over.
    envelope BLOB NOT NULL,
    accepted_active INTEGER NOT NULL,
    started_active INTEGER,
    finished_active INTEGER,
    -- What was known when it started, JSON: for the evidence, should the power fail.
    beginning TEXT,
    verdict TEXT
) STRICT;
CREATE INDEX journal_by_key ON journal (runbook, target, sequence);
CREATE INDEX journal_by_state ON journal (state);

-- When refusals were signed, to keep count of the last hour.
CREATE TABLE refusal (active INTEGER NOT NULL) STRICT;

-- When a restore from a repository was last proven.
CREATE TABLE restore (watch TEXT PRIMARY KEY, proven_active INTEGER NOT NULL) STRICT;

-- What steps printed; stays here, evidence has the digest.
CREATE TABLE output (sequence INTEGER NOT NULL, digest BLOB NOT NULL, content BLOB NOT NULL) STRICT;
CREATE INDEX output_by_sequence ON output (sequence);
