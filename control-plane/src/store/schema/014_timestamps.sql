-- Timestamps (RFC 3161) of an outside authority on checkpoints: the note, and the authority's answer, as they came; when by
-- its clock, and by ours; origin: which of the clinic's logs.
CREATE TABLE timestamp (
  tenant TEXT NOT NULL REFERENCES tenant (id), origin TEXT NOT NULL, size INTEGER NOT NULL, stamped_ms INTEGER NOT NULL, kept_ms INTEGER NOT NULL,
  note BLOB NOT NULL, token BLOB NOT NULL, PRIMARY KEY (tenant, origin, size)
) WITHOUT ROWID;
-- Why the last try to get one came to nothing, while that is so.
CREATE TABLE timestamp_trouble (
  tenant TEXT PRIMARY KEY REFERENCES tenant (id), trouble TEXT NOT NULL, since_ms INTEGER NOT NULL
) WITHOUT ROWID;
