-- Who gave an enrolment ticket out (empty: it was before this was kept), and when the owner of a session last proved who they
-- are (0: it is not known).
ALTER TABLE enrolment_token ADD COLUMN issued_by TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN proven_ms INTEGER NOT NULL DEFAULT 0;
