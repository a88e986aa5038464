-- Test data: what schema 2 brought, and a database of that age held beside the rest. Frozen with it.
INSERT INTO standing VALUES ('0190a0c0-0000-7000-8000-000000000007', '0190a0c0-0000-7000-8000-000000000001',
  '0190a0c0-0000-7000-8000-000000000003', x'02020202020202020202020202020202', 'RB-BACKUP-001', 'records', 'backup.stale',
  3, 1, 1, 1, x'0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c', CAST('standing' AS BLOB),
  1795000000000, 1797592000000, 'alive', NULL);
