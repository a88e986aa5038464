-- What one level says of policy itself; what a clinic's boxes are told is joined from these, in tenant.policy. place: 'organization', or
-- the ID of a clinic or site. A clinic without a row says what its policy said before there were levels.
CREATE TABLE policy_level (place TEXT PRIMARY KEY, policy TEXT NOT NULL, changed_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE policy_template (name TEXT PRIMARY KEY, settings TEXT NOT NULL, changed_ms INTEGER NOT NULL) WITHOUT ROWID;
-- An operator's pause; at most one for each place. until_ms 0: until it is released.
CREATE TABLE hold (
  place TEXT PRIMARY KEY, tenant TEXT, site TEXT, appliance TEXT, reason TEXT NOT NULL, held_by TEXT NOT NULL,
  since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- Orders that people must agree to: the core's exact bytes, which they sign.
CREATE TABLE asked (
  "order" TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, appliance TEXT NOT NULL REFERENCES appliance,
  incident TEXT NOT NULL REFERENCES incident, runbook TEXT NOT NULL, core BLOB NOT NULL, needed INTEGER NOT NULL,
  asked_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, ended_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX asked_incident ON asked (incident);
CREATE UNIQUE INDEX asked_open ON asked (incident) WHERE state IN ('waiting', 'granted');
CREATE INDEX asked_recent ON asked (tenant, asked_ms);
-- Their assertions, as they came.
CREATE TABLE consent (
  "order" TEXT NOT NULL REFERENCES asked, approver TEXT NOT NULL, authenticator_data BLOB NOT NULL, client_data BLOB NOT NULL,
  signature BLOB NOT NULL, given_ms INTEGER NOT NULL, PRIMARY KEY ("order", approver)
) WITHOUT ROWID;
