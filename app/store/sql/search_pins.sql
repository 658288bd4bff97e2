-- name: pin_columns
       id, query, query_key, note, version, created_at, updated_at,
       ARRAY(SELECT instrument_id FROM search_pin_instruments WHERE pin_id = search_pins.id ORDER BY position)
           AS instruments

-- name: read
SELECT
-- include: pin_columns
FROM search_pins WHERE id = $1;

-- name: page
-- Beyond the id $1, $2 of them.
SELECT
-- include: pin_columns
FROM search_pins WHERE id > $1 ORDER BY id LIMIT $2;

-- name: of_query
SELECT id FROM search_pins WHERE query_key = $1;

-- name: unknown_instruments
SELECT number FROM unnest($1::bigint[]) AS number
WHERE NOT EXISTS (SELECT FROM instruments WHERE id = number);

-- name: insert
INSERT INTO search_pins (query, query_key, note) VALUES ($1, $2, $3) RETURNING id;

-- name: update
UPDATE search_pins
SET query = $2, query_key = $3, note = $4, version = version + 1, updated_at = clock_timestamp()
WHERE id = $1;

-- name: delete
DELETE FROM search_pins WHERE id = $1;

-- name: remove_instruments
DELETE FROM search_pin_instruments WHERE pin_id = $1;

-- name: add_instruments
INSERT INTO search_pin_instruments (pin_id, position, instrument_id)
SELECT $1, ordinality, number FROM unnest($2::bigint[]) WITH ORDINALITY AS added(number, ordinality);

-- name: record
INSERT INTO search_pin_events (pin_id, operation, actor, request_id, document) VALUES ($1, $2, $3, $4, $5);

-- name: events
-- Each with the version that it made and what was before it; the newest $3 with a version below $2 (or NULL).
SELECT version, operation, occurred_at AS at, actor, request_id, before::text, document::text AS after
FROM (
    SELECT *, row_number() OVER (ORDER BY id)::integer AS version, lag(document) OVER (ORDER BY id) AS before
    FROM search_pin_events WHERE pin_id = $1
) AS numbered
WHERE $2::integer IS NULL OR version < $2
ORDER BY version DESC LIMIT $3;

-- name: last_event
-- Another one than before: some pin was written. NULL: none ever was.
SELECT max(id) FROM search_pin_events;

-- name: all
SELECT query_key,
       ARRAY(SELECT instrument_id FROM search_pin_instruments WHERE pin_id = search_pins.id ORDER BY position)
           AS instruments
FROM search_pins;
