-- name: instrument_columns
-- What the projection needs of an instrument; jsonb comes as text, and dates do: Python knows fewer of them.
       id, symbol, name, asset_class, status, mic, exchange, currency, country, sector, industry,
       isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, is_primary, cfi,
       CASE dated_aliases WHEN '[]' THEN aliases ELSE present_aliases(aliases, dated_aliases) END AS aliases,
       to_char(listed_on, 'YYYY-MM-DD') AS listed_on, to_char(delisted_on, 'YYYY-MM-DD') AS delisted_on,
       tick_size, lot_size, contract::text, attributes::text,
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
       cluster_timeline() AS cluster,
       coalesce(
           greatest(
               -- The newest change is one step into the index, whatever the planner's statistics say.
               (SELECT changed_xid FROM instruments ORDER BY changed_xid DESC, id DESC LIMIT 1),
               (SELECT changed_xid FROM instrument_tombstones
                ORDER BY changed_xid DESC, instrument_id DESC LIMIT 1)
           ) >= $1::xid8,
           false
       ) AS changed;

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
-- The numbers of $2 of them, chosen by $1.
SELECT id FROM instruments ORDER BY hashint8extended(id, $1) LIMIT $2;

-- name: some
SELECT
-- include: instrument_columns
FROM instruments WHERE id = ANY ($1::bigint[]);

-- name: bounded_by_filters
-- The end of a subquery: each field is among those values, or NULL was given. Of what matches $7 are taken, and $8 of
-- these, to be ranked.
      ($1::text[] IS NULL OR asset_class = ANY ($1))
  AND ($2::text[] IS NULL OR mic = ANY ($2))
  AND ($3::text[] IS NULL OR currency = ANY ($3))
  AND ($4::text[] IS NULL OR country = ANY ($4))
  AND ($5::text[] IS NULL OR lower(sector) = ANY ($5))
  AND ($6::text[] IS NULL OR status = ANY ($6))
LIMIT $7) AS looked_at ORDER BY is_primary DESC, id LIMIT $8

-- name: search_all
SELECT
-- include: instrument_columns
FROM (SELECT * FROM instruments WHERE
-- include: bounded_by_filters
;

-- name: search_exact
-- $9: a symbol, or an alias; $10: an identifier.
SELECT
-- include: instrument_columns
FROM (SELECT * FROM instruments
WHERE (symbol_key(symbol) COLLATE "C" = $9
       OR ((aliases <> '{}' OR dated_aliases <> '[]') AND alias_keys(aliases, dated_aliases) && ARRAY[$9])
       OR array_remove(ARRAY[isin, cusip, sedol, figi, composite_figi, share_class_figi, lei], NULL) && ARRAY[$10::text])
  AND
-- include: bounded_by_filters
;

-- name: search_symbol_prefix
-- Symbols from $9 to $10.
SELECT
-- include: instrument_columns
FROM (SELECT * FROM instruments
WHERE symbol_key(symbol) COLLATE "C" >= $9 AND symbol_key(symbol) COLLATE "C" < $10
  AND
-- include: bounded_by_filters
;

-- name: search_words
-- Names that have the words of the tsquery $9.
SELECT
-- include: instrument_columns
FROM (SELECT * FROM instruments
WHERE folded_words(name) @@ $9::text::tsquery
  AND
-- include: bounded_by_filters
;

-- name: count_everything
SELECT count(*) FROM instruments;

-- name: versions
SELECT id, version FROM instruments ORDER BY id;

-- name: versions_of
SELECT id, version FROM instruments WHERE id = ANY ($1::bigint[]);

-- name: here
-- What is committed now, as text; and whether the snapshot $1 (or NULL) can be one of this server's past.
SELECT pg_current_snapshot()::text AS snapshot,
       cluster_timeline() AS cluster,
       coalesce(pg_snapshot_xmax($1::text::pg_snapshot) <= pg_snapshot_xmax(pg_current_snapshot()), true) AS is_past;

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

-- name: lookup
-- What holds one of the identifiers $1, symbols $2, aliases $3 or numbers $4; of these $5.
SELECT
-- include: instrument_columns
FROM instruments
WHERE array_remove(ARRAY[isin, cusip, sedol, figi, composite_figi, share_class_figi, lei], NULL) && $1::text[]
   OR symbol_key(symbol) COLLATE "C" = ANY ($2::text[])
   OR ((aliases <> '{}' OR dated_aliases <> '[]') AND alias_keys(aliases, dated_aliases) && $3::text[])
   OR id = ANY ($4::bigint[])
LIMIT $5;

-- name: symbol_holders
-- Which instruments had the symbols $2 on the days $3, each asked for at a place $1; of each $4. A former symbol says
-- its own days; the present one is had since the last of them ended, or since the listing, and until the delisting.
SELECT place, key,
-- include: instrument_columns
FROM unnest($1::integer[], $2::text[], $3::date[]) AS asked(place, key, day),
     LATERAL (
         (SELECT id AS holder FROM instruments
          WHERE symbol_key(symbol) COLLATE "C" = key
            AND coalesce(day < delisted_on, true)
            AND coalesce(day >= coalesce(
                    (SELECT max(valid_to) FROM jsonb_to_recordset(dated_aliases) AS former(kind text, valid_to date)
                     WHERE kind = 'symbol' AND valid_to <= today_utc()),
                    listed_on), true)
          UNION
          SELECT id FROM instruments
          WHERE (aliases <> '{}' OR dated_aliases <> '[]') AND alias_keys(aliases, dated_aliases) && ARRAY[key]
            AND EXISTS (
                SELECT FROM jsonb_to_recordset(dated_aliases)
                    AS former(alias text, kind text, valid_from date, valid_to date)
                WHERE kind = 'symbol' AND symbol_key(alias) = key
                  AND coalesce(valid_from <= day, true) AND coalesce(day < valid_to, true)))
         LIMIT $4
     ) AS holders
     JOIN instruments ON instruments.id = holder;
