-- Times are Unix milliseconds; IDs are canonical UUID text; digests are 32 raw bytes.

CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- Charters, catalogues: every version that was ever in force, exact envelope bytes.
CREATE TABLE document (
  kind TEXT NOT NULL, serial INTEGER NOT NULL, envelope BLOB NOT NULL, received_ms INTEGER NOT NULL,
  PRIMARY KEY (kind, serial)
) WITHOUT ROWID;

CREATE TABLE tenant (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL,
  policy_serial INTEGER NOT NULL, policy BLOB NOT NULL,
  -- The Merkle log: its head, the newest signed checkpoint, and how far that one is published.
  log_origin TEXT NOT NULL UNIQUE, log_size INTEGER NOT NULL, log_root BLOB NOT NULL,
  checkpoint BLOB, published_size INTEGER NOT NULL, log_halted TEXT
) WITHOUT ROWID;

CREATE TABLE site (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, name TEXT NOT NULL, created_ms INTEGER NOT NULL,
  UNIQUE (tenant, name)
) WITHOUT ROWID;

CREATE TABLE enrolment_token (
  hash BLOB PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, site TEXT NOT NULL REFERENCES site,
  created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, appliance TEXT
) WITHOUT ROWID;

CREATE TABLE appliance (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, site TEXT NOT NULL REFERENCES site,
  state TEXT NOT NULL, state_reason TEXT NOT NULL,
  incarnation BLOB NOT NULL, tls_spki BLOB NOT NULL UNIQUE, certificate BLOB NOT NULL,
  enrolled_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL, version TEXT NOT NULL,
  -- Orders: highest issued here, highest the agent says it handed over.
  issued_high INTEGER NOT NULL, taken_high INTEGER NOT NULL,
  -- From the newest heartbeat, signed by the executor.
  heartbeat_generation INTEGER NOT NULL, heartbeat_ms INTEGER NOT NULL, heartbeat TEXT
) WITHOUT ROWID;
CREATE INDEX appliance_tenant ON appliance (tenant);

-- Every executor state ever enrolled: its key keeps verifying its evidence.
CREATE TABLE incarnation (
  incarnation BLOB PRIMARY KEY, appliance TEXT NOT NULL REFERENCES appliance, tenant TEXT NOT NULL REFERENCES tenant,
  evidence_key TEXT NOT NULL, protection TEXT NOT NULL, key_proof BLOB NOT NULL, certificate BLOB NOT NULL,
  chain_next INTEGER NOT NULL, chain_digest BLOB NOT NULL
) WITHOUT ROWID;

-- Certificates by the request that they answered: an old request is answered again, not anew.
CREATE TABLE renewal (
  csr BLOB PRIMARY KEY, appliance TEXT NOT NULL REFERENCES appliance, certificate BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE stream (
  appliance TEXT NOT NULL REFERENCES appliance, stream BLOB NOT NULL, number INTEGER NOT NULL, digest BLOB NOT NULL,
  PRIMARY KEY (appliance, stream)
) WITHOUT ROWID;

-- The last batches of each stream, so that a copy that was long under way is known for what it is.
CREATE TABLE batch (
  appliance TEXT NOT NULL REFERENCES appliance, stream BLOB NOT NULL, number INTEGER NOT NULL, digest BLOB NOT NULL,
  PRIMARY KEY (appliance, stream, number)
) WITHOUT ROWID;

CREATE TABLE event (
  id TEXT NOT NULL, tenant TEXT NOT NULL, appliance TEXT NOT NULL, incident TEXT,
  kind TEXT NOT NULL, watch TEXT NOT NULL, phase TEXT NOT NULL, at_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,
  readings TEXT NOT NULL, note TEXT NOT NULL,
  -- An ID is its own box's: what one box sends cannot stand in another's way.
  PRIMARY KEY (appliance, id)
) WITHOUT ROWID;
CREATE INDEX event_incident ON event (incident);

-- What is missing and why: batches that never came, records an agent dropped, holes in a chain.
CREATE TABLE gap (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, appliance TEXT NOT NULL, cause TEXT NOT NULL, amount INTEGER NOT NULL,
  first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL
);
CREATE INDEX gap_cause ON gap (appliance, cause);

CREATE TABLE incident (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, appliance TEXT NOT NULL REFERENCES appliance,
  kind TEXT NOT NULL, watch TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
  runbook TEXT, plan TEXT, present INTEGER NOT NULL, events INTEGER NOT NULL,
  opened_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, retry_ms INTEGER NOT NULL, attempts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX incident_fault ON incident (appliance, kind, watch, opened_ms);
CREATE INDEX incident_state ON incident (state, appliance);
-- How many a box may have: that are there now, and that came lately.
CREATE INDEX incident_there ON incident (appliance)
  WHERE state IN ('open', 'planned', 'ordered') OR (state = 'escalated' AND present = 1);
CREATE INDEX incident_recent ON incident (appliance, opened_ms);

CREATE TABLE timeline (
  incident TEXT NOT NULL REFERENCES incident, number INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  what TEXT NOT NULL, detail TEXT NOT NULL,
  PRIMARY KEY (incident, number)
) WITHOUT ROWID;

CREATE TABLE "order" (
  id TEXT PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, appliance TEXT NOT NULL REFERENCES appliance,
  incident TEXT NOT NULL REFERENCES incident, incarnation BLOB NOT NULL, sequence INTEGER NOT NULL,
  runbook TEXT NOT NULL, target TEXT NOT NULL, digest BLOB NOT NULL, envelope BLOB NOT NULL,
  state TEXT NOT NULL, outcome TEXT NOT NULL, issued_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, ended_ms INTEGER,
  UNIQUE (incarnation, sequence)
) WITHOUT ROWID;
CREATE INDEX order_state ON "order" (state, appliance);
CREATE INDEX order_recent ON "order" (appliance, issued_ms);
CREATE INDEX order_tenant_recent ON "order" (tenant, issued_ms);
CREATE INDEX order_incident ON "order" (incident);

CREATE TABLE evidence (
  tenant TEXT NOT NULL REFERENCES tenant, log_index INTEGER NOT NULL, sha256 BLOB NOT NULL UNIQUE,
  appliance TEXT NOT NULL, incarnation BLOB NOT NULL, chain_index INTEGER NOT NULL, previous BLOB NOT NULL,
  kind TEXT NOT NULL, summary TEXT NOT NULL, at_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY (tenant, log_index)
) WITHOUT ROWID;
CREATE INDEX evidence_chain ON evidence (incarnation, chain_index);

-- Bulk. What no record names yet is its sender's to pay for, and makes room for what comes later.
CREATE TABLE attachment (
  tenant TEXT NOT NULL REFERENCES tenant, sha256 BLOB NOT NULL, content BLOB NOT NULL,
  sender TEXT, received_ms INTEGER NOT NULL, -- no sender: a record names it
  PRIMARY KEY (tenant, sha256)
) WITHOUT ROWID;
CREATE INDEX attachment_unnamed ON attachment (sender, received_ms) WHERE sender IS NOT NULL;

-- Tiles in C2SP terms; only the widest version of each is kept.
CREATE TABLE tile (
  tenant TEXT NOT NULL REFERENCES tenant, level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL,
  PRIMARY KEY (tenant, level, number)
) WITHOUT ROWID;

CREATE TABLE notification (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, incident TEXT NOT NULL REFERENCES incident, body TEXT NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL, last_error TEXT NOT NULL
);
CREATE INDEX notification_due ON notification (tenant, state, due_ms);

CREATE TABLE operator_token (
  name TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
  used_ms INTEGER NOT NULL, revoked INTEGER NOT NULL
) WITHOUT ROWID;
