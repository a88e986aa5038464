-- What one box reported lately is counted before more is taken.
CREATE INDEX event_received ON event (appliance, received_ms);
CREATE INDEX gap_received ON gap (appliance, received_ms);
