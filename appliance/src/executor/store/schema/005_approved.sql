-- The newest document of each slot, withdrawn ones too: so that none older comes back.
CREATE TABLE approved (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    for_one INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (kind, name, for_one)
) STRICT;
