-- name: holds_ids_to_come
-- Whether rows bear transaction ids that this cluster has not given out: they came with another one's dump.
SELECT greatest((SELECT changed_xid FROM instruments ORDER BY changed_xid DESC, id DESC LIMIT 1),
                (SELECT changed_xid FROM instrument_tombstones ORDER BY changed_xid DESC, instrument_id DESC LIMIT 1))
       >= pg_snapshot_xmax(pg_current_snapshot());

-- name: disable_triggers
-- Nothing about the instruments changes: no version, and no history.
ALTER TABLE instruments DISABLE TRIGGER USER;

-- name: enable_triggers
ALTER TABLE instruments ENABLE TRIGGER USER;

-- name: disable_triggers_of_history
ALTER TABLE instrument_history DISABLE TRIGGER USER;

-- name: enable_triggers_of_history
ALTER TABLE instrument_history ENABLE TRIGGER USER;

-- name: stamp_instruments
UPDATE instruments SET changed_xid = pg_current_xact_id()
WHERE changed_xid >= pg_snapshot_xmax(pg_current_snapshot());

-- name: stamp_tombstones
UPDATE instrument_tombstones SET changed_xid = pg_current_xact_id()
WHERE changed_xid >= pg_snapshot_xmax(pg_current_snapshot());

-- name: forget_ids_of_history
-- NULL: long ago.
UPDATE instrument_history SET changed_xid = NULL WHERE changed_xid >= pg_snapshot_xmax(pg_current_snapshot());
