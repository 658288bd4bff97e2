-- name: create_staging
-- What a run read, one row per listing; `document` holds the columns that its source says something about.
CREATE TEMP TABLE staging (
    ord bigint NOT NULL,
    source text NOT NULL,
    source_key text NOT NULL,
    venue text NOT NULL,
    symbol text NOT NULL,
    asset_class text NOT NULL,
    status text NOT NULL,
    document jsonb NOT NULL,
    attributes jsonb NOT NULL,
    instrument_id bigint,
    owned boolean NOT NULL DEFAULT false
) ON COMMIT DROP;

-- name: create_venues
CREATE TEMP TABLE venues (mic text PRIMARY KEY, country text NOT NULL, weight integer NOT NULL) ON COMMIT DROP;

-- name: fill_venues
INSERT INTO venues SELECT * FROM unnest($1::text[], $2::text[], $3::integer[]);

-- name: find_duplicates
-- The same symbol at the same venue again, among the living or within one source: the first row is kept.
CREATE TEMP TABLE duplicates ON COMMIT DROP AS
SELECT ord, kept_ord, asset_class = kept_asset_class AS same_thing, document, attributes
FROM (
    SELECT ord, asset_class, document, attributes,
           CASE status WHEN 'delisted' THEN first_value(ord) OVER same_key
                       ELSE first_value(ord) OVER same_symbol END AS kept_ord,
           CASE status WHEN 'delisted' THEN first_value(asset_class) OVER same_key
                       ELSE first_value(asset_class) OVER same_symbol END AS kept_asset_class
    FROM staging
    WINDOW same_key AS (PARTITION BY source, source_key ORDER BY status = 'delisted', ord),
           same_symbol AS (PARTITION BY venue, symbol, status = 'delisted' ORDER BY ord)
) AS rows WHERE ord <> kept_ord;

-- name: fill_gaps_from_duplicates
-- What the first row leaves open, the later ones fill; the earliest that knows wins.
UPDATE staging SET document = more.document || staging.document,
                   attributes = coalesce(more.attributes, '{}') || staging.attributes
FROM (
    SELECT kept_ord,
           jsonb_object_agg(field.key, field.value ORDER BY ord DESC) AS document,
           (SELECT jsonb_object_agg(attribute.key, attribute.value ORDER BY d.ord DESC)
            FROM duplicates AS d CROSS JOIN LATERAL jsonb_each(d.attributes) AS attribute
            WHERE d.kept_ord = duplicates.kept_ord AND d.same_thing) AS attributes
    FROM duplicates CROSS JOIN LATERAL jsonb_each(document) AS field
    WHERE same_thing
    GROUP BY kept_ord
) AS more WHERE more.kept_ord = staging.ord;

-- name: remove_duplicates
WITH removed AS (DELETE FROM staging USING duplicates WHERE staging.ord = duplicates.ord)
SELECT ord, same_thing FROM duplicates ORDER BY ord;

-- name: match_by_source
UPDATE staging SET instrument_id = instruments.id, owned = true
FROM instruments
WHERE instruments.source = staging.source AND instruments.source_key = staging.source_key;

-- name: match_by_symbol
UPDATE staging SET instrument_id = instruments.id
FROM instruments
WHERE staging.instrument_id IS NULL
  AND staging.status <> 'delisted'
  AND coalesce(instruments.mic, instruments.exchange, '') = staging.venue
  AND instruments.symbol = staging.symbol
  AND instruments.status <> 'delisted'
  AND instruments.asset_class = staging.asset_class
  AND NOT EXISTS (SELECT FROM staging AS other WHERE other.instrument_id = instruments.id);

-- name: merge
-- The row that each listing becomes. Its own source replaces what it says something about, any other
-- source only fills gaps, an empty value never erases, and an edited field stays unless overwritten.
-- A name that is only the symbol, and aliases that are none, are gaps. Who lives again was not delisted.
-- An attribute is edited as `attributes.website`, by itself. $1: overwrite edited fields.
CREATE TEMP TABLE merged ON COMMIT DROP AS
SELECT staging.ord, instruments.id AS instrument_id, instruments.version,
       jsonb_populate_record(
           instruments,
           (CASE
                WHEN instruments.id IS NULL
                    THEN '{"aliases": [], "edited_fields": [], "is_primary": false}'
                         || jsonb_build_object('name', staging.symbol) || staging.document
                         || jsonb_build_object('source', staging.source, 'source_key', staging.source_key)
                WHEN owned AND instruments.status = 'delisted' AND staging.status <> 'delisted'
                    THEN '{"delisted_on": null}' || staging.document
                WHEN owned THEN staging.document
                ELSE staging.document - ARRAY(
                    SELECT jsonb_object_keys(jsonb_strip_nulls(to_jsonb(instruments)))
                    EXCEPT SELECT 'name' WHERE instruments.name = instruments.symbol
                    EXCEPT SELECT 'aliases' WHERE instruments.aliases = '{}')
            END
            || jsonb_build_object('attributes', CASE
                WHEN owned THEN coalesce(instruments.attributes, '{}') || found.attributes
                ELSE found.attributes || coalesce(instruments.attributes, '{}')
            END))
           - CASE WHEN $1::boolean THEN '{}' ELSE coalesce(instruments.edited_fields, '{}') END
       ) AS row
FROM staging
LEFT JOIN instruments ON instruments.id = staging.instrument_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN $1::boolean OR instruments.edited_fields IS NULL THEN staging.attributes
                ELSE staging.attributes - ARRAY(
                    SELECT substr(field, length('attributes.') + 1) FROM unnest(instruments.edited_fields) AS field
                    WHERE starts_with(field, 'attributes.'))
           END AS attributes
) AS found;

-- name: remove_conflicts
-- A symbol at a venue belongs to one living instrument: whoever has it keeps it.
WITH claims AS (
    SELECT ord, instrument_id, coalesce((row).mic, (row).exchange, '') AS venue, (row).symbol AS symbol
    FROM merged WHERE (row).status <> 'delisted'
    UNION ALL
    SELECT NULL, id, coalesce(mic, exchange, ''), symbol
    FROM instruments
    WHERE status <> 'delisted' AND NOT EXISTS (SELECT FROM merged WHERE merged.instrument_id = instruments.id)
), ranked AS (
    SELECT ord, symbol, venue,
           first_value(instrument_id) OVER claim AS holder,
           row_number() OVER claim AS place
    FROM claims
    WINDOW claim AS (PARTITION BY venue, symbol ORDER BY ord IS NOT NULL, instrument_id IS NULL, ord)
)
DELETE FROM merged USING ranked
WHERE merged.ord = ranked.ord AND ranked.place > 1
RETURNING ranked.ord, ranked.symbol, ranked.venue, ranked.holder;

-- name: remove_contradictions
-- Dates that are right in each source, and not together.
DELETE FROM merged WHERE (row).delisted_on < (row).listed_on
RETURNING ord, (row).listed_on AS listed_on, (row).delisted_on AS delisted_on;

-- name: find_primaries
-- One primary listing per share class FIGI, or per ISIN where no share class is known: one that was made so by
-- hand, never before others one that was denied it; a living one, on a venue in the issuer's home country (an
-- ISIN begins with it), of the heaviest venue and size class.
-- A listing without either identifier is primary at home, where nothing tells the country, and on a
-- main United States venue unless it is a depositary receipt.
CREATE TEMP TABLE primaries ON COMMIT DROP AS
WITH listing AS (
    SELECT ord, instrument_id, (row).symbol, (row).name, (row).status, (row).mic, (row).exchange,
           (row).country, (row).isin, (row).share_class_figi, (row).attributes ->> 'size_class' AS size_class,
           CASE WHEN 'is_primary' = ANY ((row).edited_fields) THEN (row).is_primary END AS by_hand
    FROM merged
    UNION ALL
    SELECT NULL, id, symbol, name, status, mic, exchange, country, isin, share_class_figi,
           attributes ->> 'size_class', CASE WHEN 'is_primary' = ANY (edited_fields) THEN is_primary END
    FROM instruments
    WHERE NOT EXISTS (SELECT FROM merged WHERE merged.instrument_id = instruments.id)
), share_class AS (
    SELECT isin, min(share_class_figi) AS figi FROM listing
    WHERE isin IS NOT NULL AND share_class_figi IS NOT NULL GROUP BY isin
), placed AS (
    SELECT listing.*,
           coalesce(share_class_figi, share_class.figi, isin) AS issue,
           coalesce(venues.weight, 0) AS weight,
           venues.country = coalesce(isin_country.country, listing.country) AS home,
           venues.country AS venue_country
    FROM listing
    LEFT JOIN share_class USING (isin)
    LEFT JOIN venues USING (mic)
    LEFT JOIN (SELECT DISTINCT country FROM venues) AS isin_country ON isin_country.country = left(isin, 2)
)
SELECT ord, instrument_id,
       row_number() OVER (
           PARTITION BY issue
           ORDER BY CASE by_hand WHEN true THEN 0 WHEN false THEN 2 ELSE 1 END,
                    status = 'delisted', coalesce(home, false) DESC, weight DESC,
                    array_position('{mega,large,mid,small,micro,nano}', size_class),
                    length(symbol), symbol, mic, exchange, instrument_id, ord
       ) = 1 AS is_primary
FROM placed WHERE issue IS NOT NULL
UNION ALL
SELECT ord, instrument_id,
       home IS NOT FALSE
       OR (venue_country = 'US' AND weight >= 90 AND name !~* '\m(depositary|depository|adr|ads)\M')
FROM placed WHERE issue IS NULL;

-- name: insert_new
INSERT INTO instruments (
    symbol, name, asset_class, status, mic, exchange, currency, country, sector, industry,
    isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, is_primary, cfi, aliases,
    listed_on, delisted_on, tick_size, lot_size, contract, attributes, source, source_key
)
SELECT (row).symbol, (row).name, (row).asset_class, (row).status, (row).mic, (row).exchange, (row).currency,
       (row).country, (row).sector, (row).industry, (row).isin, (row).cusip, (row).sedol, (row).figi,
       (row).composite_figi, (row).share_class_figi, (row).lei, primaries.is_primary, (row).cfi, (row).aliases,
       (row).listed_on, (row).delisted_on, (row).tick_size, (row).lot_size, (row).contract, (row).attributes,
       (row).source, (row).source_key
FROM merged JOIN primaries USING (ord)
WHERE merged.instrument_id IS NULL
ORDER BY ord;

-- name: update_changed
UPDATE instruments SET (
    symbol, name, asset_class, status, mic, exchange, currency, country, sector, industry,
    isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, is_primary, cfi, aliases,
    listed_on, delisted_on, tick_size, lot_size, contract, attributes
) = ROW (
    (row).symbol, (row).name, (row).asset_class, (row).status, (row).mic, (row).exchange, (row).currency,
    (row).country, (row).sector, (row).industry, (row).isin, (row).cusip, (row).sedol, (row).figi,
    (row).composite_figi, (row).share_class_figi, (row).lei,
    CASE WHEN 'is_primary' = ANY (edited_fields) THEN instruments.is_primary ELSE primaries.is_primary END,
    (row).cfi, (row).aliases, (row).listed_on, (row).delisted_on, (row).tick_size, (row).lot_size,
    (row).contract, (row).attributes
)
FROM merged JOIN primaries USING (ord)
WHERE merged.instrument_id = instruments.id
  AND merged.version = instruments.version -- what somebody changed meanwhile was merged as it was before
  AND (merged.row IS DISTINCT FROM instruments
       OR (primaries.is_primary <> instruments.is_primary AND NOT 'is_primary' = ANY (edited_fields)));

-- name: changed_meanwhile
-- What somebody else changed after it was merged; the change stays.
SELECT ord FROM merged JOIN instruments ON id = instrument_id
WHERE merged.version <> instruments.version AND changed_xid <> pg_current_xact_id();

-- name: update_other_primaries
UPDATE instruments SET is_primary = primaries.is_primary
FROM primaries
WHERE primaries.ord IS NULL AND primaries.instrument_id = instruments.id
  AND primaries.is_primary <> instruments.is_primary AND NOT 'is_primary' = ANY (edited_fields);

-- name: delist_missing
-- What a source no longer names. $1: the sources of this run.
UPDATE instruments
SET status = 'delisted',
    delisted_on = CASE WHEN 'delisted_on' = ANY (edited_fields) THEN delisted_on
                       ELSE greatest(current_date, listed_on) END
WHERE source = ANY ($1::text[]) AND status <> 'delisted'
  AND NOT 'status' = ANY (edited_fields)
  AND NOT EXISTS (SELECT FROM staging WHERE staging.instrument_id = instruments.id);

-- name: instruments_exist
SELECT EXISTS (SELECT FROM instruments);
