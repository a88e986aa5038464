-- People who sign in. Their names and those of API tokens are one set: acts call both by them. Of every secret only its hash
-- is here; a passkey's public half is no secret.
CREATE TABLE operator (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL, state TEXT NOT NULL, created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL, role TEXT NOT NULL, tenant TEXT REFERENCES tenant, site TEXT REFERENCES site, subject TEXT UNIQUE,
  granted_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE passkey (
  id BLOB PRIMARY KEY, operator TEXT NOT NULL REFERENCES operator, label TEXT NOT NULL, created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL, credential TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX passkey_operator ON passkey (operator);
CREATE TABLE invitation (
  hash BLOB PRIMARY KEY, operator TEXT NOT NULL REFERENCES operator, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE session (
  hash BLOB PRIMARY KEY, operator TEXT NOT NULL REFERENCES operator, kind TEXT NOT NULL, created_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL, address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_operator ON session (operator);
CREATE TABLE recovery_code (hash BLOB PRIMARY KEY, operator TEXT NOT NULL REFERENCES operator) WITHOUT ROWID;
CREATE INDEX recovery_code_operator ON recovery_code (operator);
