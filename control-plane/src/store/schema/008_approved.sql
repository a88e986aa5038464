-- Documents that people approved, every one that ever was: the newest of each slot is in force. appliance '': for every box.
CREATE TABLE approved (
  tenant TEXT NOT NULL REFERENCES tenant, appliance TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  serial INTEGER NOT NULL, payload BLOB NOT NULL, added_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant, appliance, kind, name, serial)
) WITHOUT ROWID;
