-- Packets of months that are over: the first that was made of each is the one. edition: what it was made from, JSON.
CREATE TABLE packet (
  tenant TEXT NOT NULL REFERENCES tenant, month TEXT NOT NULL, edition BLOB NOT NULL, markdown_sha256 BLOB NOT NULL,
  pdf_sha256 BLOB, size INTEGER NOT NULL, root BLOB NOT NULL, made_ms INTEGER NOT NULL, PRIMARY KEY (tenant, month)
) WITHOUT ROWID;
