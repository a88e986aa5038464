-- One-time links to acknowledge a packet by, as they were mailed: only their hashes are here.
CREATE TABLE review_link (
  hash BLOB PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, month TEXT NOT NULL, mail INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX review_link_mail ON review_link (mail);
