-- Signed orders, standing ones too, that came back from the vault: what carried them out is evidence, and names them.
CREATE TABLE order_paper (
  tenant TEXT NOT NULL REFERENCES tenant, digest BLOB NOT NULL, envelope BLOB NOT NULL,
  PRIMARY KEY (tenant, digest)
) WITHOUT ROWID;
