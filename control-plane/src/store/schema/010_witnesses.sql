-- What each outside witness (name+key ID) has cosigned of each log: the newest, size 0 while there is none; the vault has
-- all. And why the last try came to nothing, when that is so.
CREATE TABLE cosignature (
  tenant TEXT NOT NULL REFERENCES tenant (id), witness TEXT NOT NULL, size INTEGER NOT NULL, cosigned_ms INTEGER NOT NULL,
  note BLOB, trouble TEXT NOT NULL, trouble_ms INTEGER NOT NULL,
  PRIMARY KEY (tenant, witness)
) WITHOUT ROWID;
