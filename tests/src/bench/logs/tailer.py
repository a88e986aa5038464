"""A log tailer as one writes it in an afternoon: SQLite as the queue, synchronous=FULL, nothing lost and nothing sent twice
while it lives. Lines go out over TCP; eight bytes come back with how many have arrived.

    tailer.py LOG DATABASE PORT [PATTERN]
"""

import socket
import sqlite3
import struct
import sys
import time

log, database, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
pattern = sys.argv[4].encode() if len(sys.argv) > 4 else None

db = sqlite3.connect(database, isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, line BLOB)")
db.execute("CREATE TABLE IF NOT EXISTS place (only INTEGER PRIMARY KEY, at INTEGER)")
place = db.execute("SELECT at FROM place").fetchone()
at = place[0] if place else 0
sent = 0
server = socket.create_connection(("127.0.0.1", port))
file = open(log, "rb")
file.seek(at)
while True:
    lines = file.readlines(1 << 20)
    if lines and not lines[-1].endswith(b"\n"):
        file.seek(-len(lines.pop()), 1)
    if not lines:
        time.sleep(0.05)
        continue
    at += sum(map(len, lines))
    if pattern is not None:
        lines = [line for line in lines if pattern in line]
    db.execute("BEGIN")
    db.executemany("INSERT INTO queue (line) VALUES (?)", ((line,) for line in lines))
    db.execute("INSERT INTO place VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at", (at,))
    db.execute("COMMIT")
    rows = db.execute("SELECT id, line FROM queue ORDER BY id").fetchall()
    if not rows:
        continue
    server.sendall(b"".join(line for _, line in rows))
    sent += len(rows)
    arrived = 0
    while arrived < sent:
        answer = server.recv(8, socket.MSG_WAITALL)
        if len(answer) < 8:
            sys.exit("the receiver hung up")
        arrived = struct.unpack(">Q", answer)[0]
    db.execute("DELETE FROM queue WHERE id <= ?", (rows[-1][0],))
