-- What operators are shown: which hardware a box says it is, and whether anybody could be told of an incident.
ALTER TABLE appliance ADD COLUMN hardware TEXT NOT NULL DEFAULT '';
CREATE INDEX notification_incident ON notification (incident, id);
