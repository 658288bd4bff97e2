-- name: written_columns
       symbol, name, asset_class, status, mic, exchange, currency, country, sector, industry,
       isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, is_primary, cfi, aliases,
       listed_on, delisted_on, delist_at, tick_size, lot_size, contract, attributes

-- name: lock
-- In the order of their ids, so that writers do not wait for each other in a circle.
SELECT id, version, present_aliases('{}', dated_aliases) AS dated, jsonb_array_length(dated_aliases) AS dated_count,
-- include: written_columns
FROM instruments WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE;

-- name: holders
-- Which living instruments have these symbols at these venues, other than the instrument that wants one.
SELECT place, id
FROM jsonb_to_recordset($1) AS given(place int, venue text, symbol text, number bigint)
JOIN instruments ON coalesce(mic, exchange, '') = venue AND instruments.symbol = given.symbol
WHERE status <> 'delisted' AND id IS DISTINCT FROM number;

-- name: insert
-- A symbol that somebody has is left out: the places that are returned, in their order, are those of new instruments.
WITH given AS MATERIALIZED (
    SELECT place, nextval(pg_get_serial_sequence('instruments', 'id')) AS number, document, edited
    FROM jsonb_to_recordset($1) AS given(place int, document jsonb, edited text[])
), inserted AS (
    INSERT INTO instruments (id, edited_fields,
-- include: written_columns
    ) OVERRIDING SYSTEM VALUE
    SELECT number, edited,
-- include: written_columns
    FROM given CROSS JOIN LATERAL jsonb_populate_record(
        NULL::instruments,
        '{"status": "active", "is_primary": false, "aliases": [], "attributes": {}}' || document)
    ORDER BY place
    ON CONFLICT DO NOTHING
    RETURNING instruments.id
)
SELECT place, id FROM inserted JOIN given ON number = id ORDER BY place;

-- name: update
-- The columns that each document names. What was set by hand an import leaves alone.
UPDATE instruments SET (edited_fields,
-- include: written_columns
) = (
    SELECT ARRAY(SELECT DISTINCT unnest(instruments.edited_fields || given.edited) ORDER BY 1),
-- include: written_columns
    FROM jsonb_populate_record(instruments, given.document)
)
FROM jsonb_to_recordset($1) AS given(number bigint, document jsonb, edited text[])
WHERE id = number;

-- name: demote_others
-- One listing of an issue (the same ISIN or share class FIGI) is primary: of those given the last, then no other.
WITH promoted AS MATERIALIZED (
    SELECT place, id, isin, share_class_figi
    FROM jsonb_to_recordset($1) AS given(place int, number bigint) JOIN instruments ON id = number
)
UPDATE instruments SET is_primary = false, edited_fields = array_remove(edited_fields, 'is_primary')
FROM promoted
WHERE is_primary AND instruments.id <> promoted.id
  AND array_remove(ARRAY[instruments.isin, cusip, sedol, figi, composite_figi, instruments.share_class_figi, lei], NULL)
      && array_remove(ARRAY[promoted.isin, promoted.share_class_figi], NULL)
  AND (instruments.isin = promoted.isin OR instruments.share_class_figi = promoted.share_class_figi)
  AND NOT EXISTS (SELECT FROM promoted AS later WHERE later.id = instruments.id AND later.place > promoted.place);

-- name: is_due
SELECT EXISTS (SELECT FROM instruments WHERE due_at <= now());

-- name: take_effect
-- Up to $1 instruments of which something is due: whatever updates them makes the trigger look.
UPDATE instruments SET due_at = NULL WHERE id IN (
    SELECT id FROM instruments WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED);
