-- The private key that secrets are sealed to; this file is nobody else's to read.
ALTER TABLE state ADD COLUMN opening_key BLOB;
