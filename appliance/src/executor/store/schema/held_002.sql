-- Test data: what schema 2 brought, and a database of that age held beside the rest. Frozen with it.
UPDATE state SET boot_id = x'0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', boot = 4500, mark_boot_id = x'0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c',
  mark_wall_ms = 1795000000007;
UPDATE journal SET approved_until_ms = 1795000900000 WHERE sequence = 8;
INSERT INTO shown VALUES (4, x'0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d', 0, 'a third note');
INSERT INTO signed VALUES ('refusal', 2600), ('hold', 2700);
