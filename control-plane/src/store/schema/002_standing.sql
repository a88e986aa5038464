-- Standing orders: permission in advance. For each box, runbook and watch entry one is alive, never two.
CREATE TABLE standing (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, appliance TEXT NOT NULL REFERENCES appliance,
  incarnation BLOB NOT NULL, runbook TEXT NOT NULL, watch TEXT NOT NULL, trigger TEXT NOT NULL,
  most INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0, charter INTEGER NOT NULL, policy INTEGER NOT NULL,
  digest BLOB NOT NULL, envelope BLOB NOT NULL, issued_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
  state TEXT NOT NULL, ended_ms INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX standing_alive ON standing (appliance, runbook, watch) WHERE state = 'alive';
