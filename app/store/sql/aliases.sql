-- name: alias_columns
       id, aliases, dated_aliases::text, edited_fields, version

-- name: read
SELECT
-- include: alias_columns
FROM instruments WHERE id = $1;

-- name: lock
-- In the order of ids, so that two who write do not wait for each other in a circle.
SELECT
-- include: alias_columns
FROM instruments WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE;

-- name: write
UPDATE instruments
SET aliases = given.aliases, dated_aliases = given.dated_aliases, edited_fields = given.edited_fields
FROM jsonb_to_recordset($1) AS given(id bigint, aliases text[], dated_aliases jsonb, edited_fields text[])
WHERE instruments.id = given.id
RETURNING version;

-- name: find
-- The instruments that have these symbols now, at the venue and under the ISIN that are given, if they are.
SELECT ord,
       array_agg(id) FILTER (WHERE status <> 'delisted') AS living,
       array_agg(id) FILTER (WHERE status = 'delisted') AS delisted
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS given(ord, given_symbol, given_mic, given_isin)
JOIN instruments ON symbol = given_symbol
                AND (given_mic IS NULL OR mic = given_mic) AND (given_isin IS NULL OR isin = given_isin)
GROUP BY ord;
