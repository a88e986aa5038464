-- To whom a clinic's packets are sent by mail.
CREATE TABLE recipient (
  tenant TEXT NOT NULL REFERENCES tenant, address TEXT NOT NULL, added_ms INTEGER NOT NULL, PRIMARY KEY (tenant, address)
) WITHOUT ROWID;
-- Packets on their way: an outbox, so that a crash loses nothing. message_id stays the same whenever one is tried again.
CREATE TABLE mail (
  id INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, month TEXT NOT NULL, address TEXT NOT NULL, message_id TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, last_error TEXT NOT NULL
);
CREATE INDEX mail_due ON mail (state, due_ms);
CREATE INDEX mail_packet ON mail (tenant, month);
