-- One more kind of document: the control plane's stop, or the release from it.
CREATE TABLE next (
    kind TEXT PRIMARY KEY CHECK (kind IN ('charter', 'catalogue', 'policy', 'stop')),
    serial INTEGER NOT NULL,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
INSERT INTO next SELECT kind, serial, digest, envelope FROM document;
DROP TABLE document;
ALTER TABLE next RENAME TO document;
