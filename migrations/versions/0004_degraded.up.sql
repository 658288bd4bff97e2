-- What searches need while the index cannot be asked (see app.store.degraded_search).
-- As app.domain.text folds: lower case, compatibility form, no accents, letters without a decomposition replaced.
CREATE FUNCTION folded_words(name text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT array_to_tsvector(array_remove(regexp_split_to_array(
        replace(replace(replace(replace(
            translate(
                normalize(regexp_replace(
                    normalize(lower(normalize(name, NFKD)), NFKD), '[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff\u3099\u309a]', '', 'g'
                ), NFC),
                'øđłıð', 'odlid'),
            'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), 'ß', 'ss'),
        '[^[:alnum:]]+'), ''))
$$;
CREATE INDEX instruments_words ON instruments USING gin (folded_words(name));
CREATE FUNCTION symbol_key(symbol text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT btrim(regexp_replace(replace(upper(normalize(symbol, NFKC)), 'ß', 'SS'), '\s+', ' ', 'g'))
$$;
-- With a path of its own: Postgres 17 and newer build indexes without the session's.
CREATE FUNCTION symbol_keys(symbols text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path FROM CURRENT AS $$
    SELECT ARRAY(SELECT symbol_key(symbol) FROM unnest(symbols) AS symbol)
$$;
CREATE INDEX instruments_symbol_key ON instruments ((symbol_key(symbol) COLLATE "C"));
CREATE INDEX instruments_alias_keys ON instruments USING gin (symbol_keys(aliases)) WHERE aliases <> '{}';
CREATE INDEX instruments_identifiers ON instruments USING gin ((array_remove(
    ARRAY[isin, cusip, sedol, figi, composite_figi, share_class_figi, lei], NULL)));

-- Which server this is: a restored or promoted one has another timeline, at once. (That of the last checkpoint lags.)
CREATE FUNCTION cluster_timeline() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) FROM pg_control_system()
$$;

-- Other years have no form that clients can read. Last, for nobody can read the table while it is checked.
ALTER TABLE instruments ADD CONSTRAINT instruments_years CHECK (
    listed_on BETWEEN '0001-01-01' AND '9999-12-31' AND delisted_on BETWEEN '0001-01-01' AND '9999-12-31'
    AND updated_at BETWEEN '0001-01-01 UTC' AND '9999-12-31 UTC');
