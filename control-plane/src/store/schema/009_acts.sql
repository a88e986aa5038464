-- Acts: what the control plane did or was told to do, in the same log as evidence and in a chain of its own.
CREATE TABLE act (
  tenant TEXT NOT NULL REFERENCES tenant, log_index INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE,
  number INTEGER NOT NULL, kind TEXT NOT NULL, summary TEXT NOT NULL, actor TEXT NOT NULL,
  at_ms INTEGER NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY (tenant, log_index), UNIQUE (tenant, number)
) WITHOUT ROWID;
CREATE INDEX act_says ON act (tenant, kind, summary);
-- Acts of a clinic whose log is halted: they are logged when it goes on. One row is one act, as JSON.
CREATE TABLE act_waiting (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, deed TEXT NOT NULL
);
CREATE INDEX act_waiting_tenant ON act_waiting (tenant, id);
