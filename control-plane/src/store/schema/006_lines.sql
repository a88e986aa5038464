-- Lines of logs, as the appliance redacted and packed them.
CREATE TABLE lines (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, appliance TEXT NOT NULL REFERENCES appliance,
  watch TEXT NOT NULL, file INTEGER NOT NULL, "offset" INTEGER NOT NULL, length INTEGER NOT NULL, count INTEGER NOT NULL,
  size INTEGER NOT NULL, packed BLOB NOT NULL, at_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL
);
CREATE INDEX lines_of_box ON lines (appliance, id);

-- How many lines ever came from each box, and what those weigh that are still here.
CREATE TABLE lines_account (
  appliance TEXT PRIMARY KEY REFERENCES appliance, taken INTEGER NOT NULL, weight INTEGER NOT NULL
) WITHOUT ROWID;
