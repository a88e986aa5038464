-- What the organization keys said of each log that follows another, by its number: the newest is the log that is gone by.
CREATE TABLE succession (
    number INTEGER PRIMARY KEY,
    envelope BLOB NOT NULL
) STRICT;
