-- Logs that could not be continued, and what the organization keys said of each that follows another, by the new one's
-- number. What was in a log before lies in tables like those of the newest: log says in which.
CREATE TABLE succession (
  tenant TEXT NOT NULL REFERENCES tenant, log INTEGER NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY (tenant, log)
) WITHOUT ROWID;
CREATE TABLE past_log (
  tenant TEXT NOT NULL REFERENCES tenant, log INTEGER NOT NULL, log_origin TEXT NOT NULL, log_size INTEGER NOT NULL,
  log_root BLOB NOT NULL, checkpoint BLOB, published_size INTEGER NOT NULL, log_halted TEXT, PRIMARY KEY (tenant, log)
) WITHOUT ROWID;
CREATE TABLE past_evidence (
  log INTEGER NOT NULL, tenant TEXT NOT NULL, log_index INTEGER NOT NULL, sha256 BLOB NOT NULL, appliance TEXT NOT NULL,
  incarnation BLOB NOT NULL, chain_index INTEGER NOT NULL, previous BLOB NOT NULL, kind TEXT NOT NULL,
  summary TEXT NOT NULL, at_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY (tenant, log, log_index)
) WITHOUT ROWID;
CREATE INDEX past_evidence_called ON past_evidence (tenant, sha256);
CREATE INDEX past_evidence_chain ON past_evidence (incarnation, chain_index);
CREATE TABLE past_act (
  log INTEGER NOT NULL, tenant TEXT NOT NULL, log_index INTEGER NOT NULL, sha256 BLOB NOT NULL, number INTEGER NOT NULL,
  kind TEXT NOT NULL, summary TEXT NOT NULL, actor TEXT NOT NULL, at_ms INTEGER NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY (tenant, log, log_index)
) WITHOUT ROWID;
CREATE TABLE past_tile (
  log INTEGER NOT NULL, tenant TEXT NOT NULL, level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL,
  PRIMARY KEY (tenant, log, level, number)
) WITHOUT ROWID;
CREATE TABLE past_cosignature (
  log INTEGER NOT NULL, tenant TEXT NOT NULL, witness TEXT NOT NULL, size INTEGER NOT NULL, cosigned_ms INTEGER NOT NULL,
  note BLOB, trouble TEXT NOT NULL, trouble_ms INTEGER NOT NULL, PRIMARY KEY (tenant, log, witness)
) WITHOUT ROWID;
