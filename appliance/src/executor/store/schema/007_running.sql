-- The newest beat, by all clocks, and what the next heartbeat will say of the time since the last (JSON).
CREATE TABLE beat (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id BLOB,
    boot INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL,
    beats TEXT NOT NULL
) STRICT;

-- What ran when somebody last looked.
CREATE TABLE software (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    program TEXT NOT NULL,
    system TEXT,
    generation INTEGER
) STRICT;
