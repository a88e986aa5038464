-- An approved order's ID is remembered for as long as its approval could be used again.
ALTER TABLE journal ADD COLUMN approved_until_ms INTEGER;
CREATE INDEX journal_by_order ON journal (order_id);

-- Heads that a log key signed and that were not shown to continue the one kept, each by itself; "fork": one contradicts
-- it for certain. The roots of those kept until here stand in their notes alone.
CREATE TABLE shown (
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    fork INTEGER NOT NULL CHECK (fork IN (0, 1)),
    note TEXT NOT NULL,
    PRIMARY KEY (size, root)
) STRICT;
INSERT INTO shown (size, root, fork, note) SELECT size, zeroblob(32), fork, note FROM alarm;
DROP TABLE alarm;

-- What is signed at most so often in an hour: refusals of orders that an order key signed, of what none did, and holds.
CREATE TABLE signed (kind TEXT NOT NULL CHECK (kind IN ('refusal', 'forgery', 'hold')), active INTEGER NOT NULL) STRICT;
INSERT INTO signed (kind, active) SELECT 'forgery', active FROM refusal;
DROP TABLE refusal;

-- Which boot the newest active time was written in, and its boot-time clock then.
ALTER TABLE state ADD COLUMN boot_id BLOB;
ALTER TABLE state ADD COLUMN boot INTEGER;
-- Of the moment by both clocks: its boot, and the wall clock then.
ALTER TABLE state ADD COLUMN mark_boot_id BLOB;
ALTER TABLE state ADD COLUMN mark_wall_ms INTEGER;
