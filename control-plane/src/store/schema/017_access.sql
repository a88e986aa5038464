-- What each API token may do and where; those of before could do everything. What people changed: who, from where, what was
-- before and after; an act in the log names each by its digest. And when a clinic left.
ALTER TABLE operator_token ADD COLUMN role TEXT NOT NULL DEFAULT 'owner';
ALTER TABLE operator_token ADD COLUMN tenant TEXT REFERENCES tenant;
ALTER TABLE operator_token ADD COLUMN site TEXT REFERENCES site;
ALTER TABLE act_waiting ADD COLUMN record BLOB;
ALTER TABLE tenant ADD COLUMN closed_ms INTEGER NOT NULL DEFAULT 0;
CREATE TABLE audit (
  id INTEGER PRIMARY KEY, tenant TEXT REFERENCES tenant, at_ms INTEGER NOT NULL, sha256 BLOB NOT NULL, record TEXT NOT NULL
);
CREATE INDEX audit_tenant ON audit (tenant, id);
