-- What a model was asked about incidents, exactly as it was sent, and what came of it.
CREATE TABLE model_call (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenant, incident TEXT NOT NULL REFERENCES incident,
  model TEXT NOT NULL, prompt TEXT NOT NULL, digest BLOB NOT NULL,
  asked_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL,
  ended_ms INTEGER, failed INTEGER NOT NULL, outcome TEXT NOT NULL -- no end: under way
);
CREATE INDEX model_call_under_way ON model_call (until_ms) WHERE ended_ms IS NULL;
CREATE INDEX model_call_ended ON model_call (failed, ended_ms) WHERE ended_ms IS NOT NULL;
CREATE INDEX model_call_tenant ON model_call (tenant, asked_ms);
CREATE INDEX model_call_incident ON model_call (incident);
