-- How each object lies in the vault, as it was read back: by which version (empty: the store has none), until when.
-- What an older program kept is noted at the next start.
CREATE TABLE vault_object (
  key TEXT PRIMARY KEY, version TEXT NOT NULL, sha256 BLOB NOT NULL, retain_until_ms INTEGER NOT NULL
) WITHOUT ROWID;
