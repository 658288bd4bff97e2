-- name: finding_columns
-- Of an instrument that a reason finds, before the reason's own `detail`; `total` is how many it finds.
       id, symbol, coalesce(mic, exchange) AS venue, count(*) OVER () AS total,

-- name: coverage
-- How many living instruments of each class at each venue say something of each field.
SELECT coalesce(mic, exchange) AS venue, asset_class, count(*) AS living,
       count(isin) AS isin, count(cusip) AS cusip, count(sedol) AS sedol, count(figi) AS figi,
       count(composite_figi) AS composite_figi, count(share_class_figi) AS share_class_figi, count(lei) AS lei,
       count(cfi) AS cfi, count(mic) AS mic, count(currency) AS currency, count(country) AS country,
       count(sector) AS sector, count(listed_on) AS listed_on
FROM instruments WHERE status <> 'delisted'
GROUP BY venue, asset_class ORDER BY living DESC, venue, asset_class;

-- name: count_delisted
SELECT count(*) FROM instruments WHERE status = 'delisted';

-- name: codes
-- What standards govern, for their rules to be applied.
SELECT id, symbol, coalesce(mic, exchange) AS venue,
       isin, cusip, sedol, figi, composite_figi, share_class_figi, lei, cfi, currency, country
FROM instruments ORDER BY id;

-- Every statement from here on is a reason: $1 instruments that it finds suspicious, and how many there are.

-- name: name_is_symbol
SELECT
-- include: finding_columns
       asset_class AS detail
FROM instruments WHERE status <> 'delisted' AND name = symbol ORDER BY id LIMIT $1;

-- name: name_unprintable
-- Control characters, soft hyphens, and those of no width, of writing direction and of private use.
SELECT
-- include: finding_columns
       name AS detail
FROM instruments
WHERE status <> 'delisted' AND name ~ '[\u0001-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff\ue000-\uf8ff]'
ORDER BY id LIMIT $1;

-- name: name_with_lost_letter
-- The replacement character, or a question mark that stands alone.
SELECT
-- include: finding_columns
       name AS detail
FROM instruments WHERE status <> 'delisted' AND name ~ '\ufffd| \? ' ORDER BY id LIMIT $1;

-- name: no_venue
SELECT
-- include: finding_columns
       name AS detail
FROM instruments WHERE status <> 'delisted' AND mic IS NULL AND exchange IS NULL ORDER BY id LIMIT $1;

-- name: unknown_mic
-- $2: the MICs that this version knows.
SELECT
-- include: finding_columns
       mic AS detail
FROM instruments WHERE status <> 'delisted' AND mic <> ALL ($2::text[]) ORDER BY mic, id LIMIT $1;

-- name: currency_unusual
SELECT
-- include: finding_columns
       currency AS detail
FROM (SELECT id, symbol, mic, exchange, currency,
             count(*) OVER (PARTITION BY mic, currency) AS such, count(*) OVER (PARTITION BY mic) AS all_there
      FROM instruments WHERE status <> 'delisted' AND mic IS NOT NULL AND currency IS NOT NULL) AS living
WHERE such < 0.01 * all_there ORDER BY id LIMIT $1;

-- name: isin_only_in_symbol
SELECT
-- include: finding_columns
       name AS detail
FROM instruments
WHERE status <> 'delisted' AND isin IS NULL AND symbol ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9](\.[A-Z]+)?$' ORDER BY id LIMIT $1;

-- name: isin_not_of_symbol
SELECT
-- include: finding_columns
       isin AS detail
FROM instruments
WHERE status <> 'delisted' AND symbol ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9](\.[A-Z]+)?$' AND isin <> left(symbol, 12)
ORDER BY id LIMIT $1;

-- name: isin_of_other_country
-- Prefixes that stand for no country say nothing of the issuer's.
SELECT
-- include: finding_columns
       isin || ', issuer of ' || country AS detail
FROM instruments
WHERE status <> 'delisted' AND left(isin, 2) <> country AND isin !~ '^(EU|EZ|QS|QT|X|ZZ)' ORDER BY id LIMIT $1;

-- name: isin_twice_at_venue
SELECT
-- include: finding_columns
       isin AS detail
FROM (SELECT id, symbol, mic, exchange, isin, count(*) OVER (PARTITION BY coalesce(mic, exchange), isin) AS listings
      FROM instruments WHERE status <> 'delisted' AND isin IS NOT NULL) AS living
WHERE listings > 1 ORDER BY venue, isin, id LIMIT $1;

-- name: isin_of_different_names
-- No word of the name is one of the primary listing's.
SELECT
-- include: finding_columns
       isin || ' ' || name || ', but ' || primary_name AS detail
FROM (SELECT DISTINCT ON (other.id)
             other.id, other.symbol, other.mic, other.exchange, other.isin, other.name, main.name AS primary_name
      FROM instruments AS other JOIN instruments AS main USING (isin)
      WHERE other.status <> 'delisted' AND main.status <> 'delisted' AND main.is_primary AND NOT other.is_primary
        AND other.name <> other.symbol AND main.name <> main.symbol
        AND NOT tsvector_to_array(folded_words(other.name)) && tsvector_to_array(folded_words(main.name))) AS living
ORDER BY isin, id LIMIT $1;

-- name: isin_of_share_classes
SELECT
-- include: finding_columns
       isin || ' ' || share_class_figi AS detail
FROM (SELECT id, symbol, mic, exchange, isin, share_class_figi,
             min(share_class_figi) OVER (PARTITION BY isin) <> max(share_class_figi) OVER (PARTITION BY isin) AS differ
      FROM instruments WHERE status <> 'delisted' AND isin IS NOT NULL AND share_class_figi IS NOT NULL) AS living
WHERE differ ORDER BY isin, share_class_figi, id LIMIT $1;

-- name: share_class_of_isins
SELECT
-- include: finding_columns
       share_class_figi || ' ' || isin AS detail
FROM (SELECT id, symbol, mic, exchange, isin, share_class_figi,
             min(isin) OVER (PARTITION BY share_class_figi) <> max(isin) OVER (PARTITION BY share_class_figi) AS differ
      FROM instruments WHERE status <> 'delisted' AND isin IS NOT NULL AND share_class_figi IS NOT NULL) AS living
WHERE differ ORDER BY share_class_figi, isin, id LIMIT $1;

-- name: cusip_of_isins
SELECT
-- include: finding_columns
       cusip || ' ' || isin AS detail
FROM (SELECT id, symbol, mic, exchange, isin, cusip,
             min(isin) OVER (PARTITION BY cusip) <> max(isin) OVER (PARTITION BY cusip) AS differ
      FROM instruments WHERE status <> 'delisted' AND isin IS NOT NULL AND cusip IS NOT NULL) AS living
WHERE differ ORDER BY cusip, isin, id LIMIT $1;

-- name: cusip_not_in_isin
-- ISINs of the United States and Canada are made of the CUSIP.
SELECT
-- include: finding_columns
       cusip || ', but ' || isin AS detail
FROM instruments
WHERE status <> 'delisted' AND left(isin, 2) IN ('CA', 'US') AND cusip <> substr(isin, 3, 9) ORDER BY id LIMIT $1;

-- name: figi_shared
-- It names one listing at one venue.
SELECT
-- include: finding_columns
       figi AS detail
FROM (SELECT id, symbol, mic, exchange, figi, count(*) OVER (PARTITION BY figi) AS listings
      FROM instruments WHERE status <> 'delisted' AND figi IS NOT NULL) AS living
WHERE listings > 1 ORDER BY figi, id LIMIT $1;

-- name: figi_of_two_levels
SELECT
-- include: finding_columns
       concat_ws(' ', figi, composite_figi, share_class_figi) AS detail
FROM instruments
WHERE status <> 'delisted'
  AND (figi = composite_figi OR figi = share_class_figi OR composite_figi = share_class_figi) ORDER BY id LIMIT $1;

-- name: primary_not_one
-- An issue as imports tell it: a share class, or an ISIN of which no share class is known.
SELECT
-- include: finding_columns
       issue || ': ' || primaries || ' primary' AS detail
FROM (SELECT placed.*, count(*) FILTER (WHERE is_primary) OVER (PARTITION BY issue) AS primaries
      FROM (SELECT id, symbol, mic, exchange, is_primary, coalesce(share_class_figi, share_class.figi, isin) AS issue
            FROM instruments
            LEFT JOIN (SELECT isin, min(share_class_figi) AS figi FROM instruments
                       WHERE isin IS NOT NULL GROUP BY isin) AS share_class USING (isin)
            WHERE status <> 'delisted') AS placed
      WHERE issue IS NOT NULL) AS living
WHERE primaries <> 1 ORDER BY issue, id LIMIT $1;

-- name: cfi_of_other_class
SELECT
-- include: finding_columns
       asset_class || ', but ' || cfi AS detail
FROM instruments
JOIN (VALUES ('equity', 'ER'), ('etf', 'CD'), ('fund', 'C'), ('bond', 'D'), ('future', 'F'), ('option', 'HO'),
             ('index', 'T')) AS expected(asset_class, categories) USING (asset_class)
WHERE status <> 'delisted' AND strpos(categories, left(cfi, 1)) = 0 ORDER BY id LIMIT $1;

-- name: listed_in_future
SELECT
-- include: finding_columns
       listed_on::text AS detail
FROM instruments WHERE status = 'active' AND listed_on > today_utc() ORDER BY id LIMIT $1;

-- name: change_overdue
-- What should have taken effect by itself; no indexer runs that sees to it.
SELECT
-- include: finding_columns
       due_at::text AS detail
FROM instruments WHERE due_at < now() - interval '1 hour' ORDER BY due_at, id LIMIT $1;
