-- The newest stop or release of each box that ever had one.
CREATE TABLE stop (
  appliance TEXT PRIMARY KEY REFERENCES appliance, serial INTEGER NOT NULL, stopped INTEGER NOT NULL,
  envelope BLOB NOT NULL
) WITHOUT ROWID;
