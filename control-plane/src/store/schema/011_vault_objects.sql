-- How each object lies in the vault, as it was read back: by which version (empty: the store has none), until when.
-- What was kept before this was noted has no date (0) here; its digest is the record's.
CREATE TABLE vault_object (
  key TEXT PRIMARY KEY, version TEXT NOT NULL, sha256 BLOB NOT NULL, retain_until_ms INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO vault_object SELECT tenant || '/entries/' || printf('%010d', log_index), '', sha256, 0 FROM evidence;
