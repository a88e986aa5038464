-- What people are to be told goes out by several channels. key: the same at every try; thread: one condition of one box,
-- whose letters reach a channel in their order; begun: tries that were begun, whatever came of them.
ALTER TABLE notification ADD COLUMN channel TEXT NOT NULL DEFAULT 'webhook';
ALTER TABLE notification ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE notification ADD COLUMN thread TEXT NOT NULL DEFAULT '';
ALTER TABLE notification ADD COLUMN news TEXT NOT NULL DEFAULT 'raised';
ALTER TABLE notification ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;
UPDATE notification SET key = CAST(id AS TEXT), thread = incident;
DROP INDEX notification_due;
CREATE INDEX notification_due ON notification (channel, state, tenant, due_ms);
CREATE INDEX notification_thread ON notification (channel, thread, id) WHERE state = 'due';
CREATE INDEX notification_begun ON notification (channel, thread) WHERE begun > 0;
CREATE INDEX notification_state ON notification (state, id);
CREATE UNIQUE INDEX notification_key ON notification (key);
-- Where the chain stands of each incident that needs a person: the step that comes next and when, who took it on, whether
-- its fault is gone.
CREATE TABLE escalation (
  incident TEXT PRIMARY KEY REFERENCES incident, tenant TEXT NOT NULL REFERENCES tenant, thread TEXT NOT NULL,
  urgent INTEGER NOT NULL, step INTEGER NOT NULL, due_ms INTEGER, acknowledged_ms INTEGER, acknowledged_by TEXT NOT NULL,
  gone INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX escalation_due ON escalation (due_ms) WHERE due_ms IS NOT NULL;
-- Tickets that a channel's system gave an ID, one for each thread.
CREATE TABLE ticket (
  channel TEXT NOT NULL, thread TEXT NOT NULL, number TEXT NOT NULL, closed INTEGER NOT NULL, changed_ms INTEGER NOT NULL,
  PRIMARY KEY (channel, thread)
) WITHOUT ROWID;
-- Boxes that nothing is heard of.
CREATE INDEX incident_silent ON incident (appliance) WHERE kind = 'appliance.silent' AND state = 'escalated';
