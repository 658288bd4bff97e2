-- name: instrument_columns
-- What the projection needs of an instrument; jsonb comes as text.
       id, symbol, name, asset_class, status, mic, exchange, currency, country, sector, industry,
       isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, is_primary, cfi, aliases,
       listed_on, delisted_on, tick_size, lot_size, contract::text, attributes::text,
       attributes ->> 'size_class' AS size_class, version, updated_at

-- name: one
SELECT
-- include: instrument_columns
FROM instruments WHERE id = $1;

-- name: members
-- The listed members of a profile in their order. $2: beyond this position, $3: without so many, $4: how many.
SELECT position,
-- include: instrument_columns
FROM profile_members JOIN instruments ON instruments.id = instrument_id
WHERE profile_id = $1 AND position > $2 ORDER BY position OFFSET $3 LIMIT $4;

-- name: history
-- Newest first, each with the state before it. $2: only versions below (or NULL), $3: how many.
SELECT version, operation, changed_at, actor, request_id, document,
       lag(document) OVER (ORDER BY version) AS previous
FROM instrument_history
WHERE instrument_id = $1
  AND version >= (
      SELECT coalesce(min(version), 0) FROM (
          SELECT version FROM instrument_history
          WHERE instrument_id = $1 AND ($2::integer IS NULL OR version < $2)
          ORDER BY version DESC LIMIT $3 + 1
      ) AS page)
  AND ($2::integer IS NULL OR version < $2)
ORDER BY version DESC;

-- name: position
-- Where a snapshot stands, and whether anything changed since a watermark: the one query of a quiet refresh.
SELECT pg_snapshot_xmin(pg_current_snapshot()) AS watermark,
       pg_snapshot_xmin(pg_current_snapshot()) < pg_snapshot_xmax(pg_current_snapshot()) AS is_held,
       pg_current_snapshot()::text AS snapshot,
       system_identifier::text || '/' || timeline_id AS cluster,
       coalesce(
           greatest(
               -- The newest change is one step into the index, whatever the planner's statistics say.
               (SELECT changed_xid FROM instruments ORDER BY changed_xid DESC, id DESC LIMIT 1),
               (SELECT changed_xid FROM instrument_tombstones
                ORDER BY changed_xid DESC, instrument_id DESC LIMIT 1)
           ) >= $1::xid8,
           false
       ) AS changed
FROM pg_control_system(), pg_control_checkpoint();

-- name: changed_since
SELECT
-- include: instrument_columns
FROM instruments WHERE changed_xid >= $1::xid8 ORDER BY changed_xid, id;

-- name: removed_since
SELECT instrument_id FROM instrument_tombstones WHERE changed_xid >= $1::xid8 ORDER BY instrument_id;

-- name: everything
SELECT
-- include: instrument_columns
FROM instruments ORDER BY id;

-- name: sample
-- $2 of them, chosen by $1.
SELECT
-- include: instrument_columns
FROM instruments ORDER BY hashint8extended(id, $1) LIMIT $2;

-- name: some
SELECT
-- include: instrument_columns
FROM instruments WHERE id = ANY ($1::bigint[]);

-- name: count_everything
SELECT count(*) FROM instruments;

-- name: versions
SELECT id, version FROM instruments ORDER BY id;

-- name: versions_of
SELECT id, version FROM instruments WHERE id = ANY ($1::bigint[]);

-- name: here
-- What is committed now, as text; and whether the snapshot $1 (or NULL) can be one of this server's past.
SELECT pg_current_snapshot()::text AS snapshot,
       system_identifier::text || '/' || timeline_id AS cluster,
       coalesce(pg_snapshot_xmax($1::text::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()), true) AS is_past
FROM pg_control_system(), pg_control_checkpoint();

-- name: changed_between
-- Up to $5 instruments whose last change the snapshot $2 sees and $1 does not, beyond the change $3 of $4.
SELECT changed_xid::text AS xid,
-- include: instrument_columns
FROM instruments
WHERE (changed_xid, id) > (coalesce($3::text::xid8, pg_snapshot_xmin($1::text::pg_snapshot)), $4::bigint)
  AND NOT pg_visible_in_snapshot(changed_xid, $1::text::pg_snapshot)
  AND pg_visible_in_snapshot(changed_xid, $2::text::pg_snapshot)
ORDER BY changed_xid, id LIMIT $5;

-- name: removed_between
-- As `changed_between`, of those that are deleted.
SELECT changed_xid::text AS xid, instrument_id AS id FROM instrument_tombstones
WHERE (changed_xid, instrument_id)
      > (coalesce($3::text::xid8, pg_snapshot_xmin($1::text::pg_snapshot)), $4::bigint)
  AND NOT pg_visible_in_snapshot(changed_xid, $1::text::pg_snapshot)
  AND pg_visible_in_snapshot(changed_xid, $2::text::pg_snapshot)
ORDER BY changed_xid, instrument_id LIMIT $5;

-- name: oldest_unseen
-- For how many seconds the oldest change has been committed, or begun, that the snapshot $1 does not see.
SELECT extract(epoch FROM clock_timestamp() - least(
    (SELECT min(updated_at) FROM instruments
     WHERE changed_xid >= pg_snapshot_xmin($1::text::pg_snapshot)
       AND NOT pg_visible_in_snapshot(changed_xid, $1::text::pg_snapshot)),
    (SELECT min(deleted_at) FROM instrument_tombstones
     WHERE changed_xid >= pg_snapshot_xmin($1::text::pg_snapshot)
       AND NOT pg_visible_in_snapshot(changed_xid, $1::text::pg_snapshot))
))::float8;
