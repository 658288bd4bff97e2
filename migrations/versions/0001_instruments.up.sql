-- One row is one listing: a symbol at a venue.
CREATE TABLE instruments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol text NOT NULL,
    name text NOT NULL,
    asset_class text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    mic text,
    exchange text,
    currency text,
    country text,
    sector text,
    industry text,
    isin text,
    cusip text,
    sedol text,
    figi text,
    composite_figi text,
    share_class_figi text,
    lei text,
    is_primary boolean NOT NULL DEFAULT false,
    cfi text,
    aliases text[] NOT NULL DEFAULT '{}',
    listed_on date,
    delisted_on date,
    tick_size numeric,
    lot_size numeric,
    contract jsonb,
    attributes jsonb NOT NULL DEFAULT '{}',
    -- Who described this listing first, and under which key: the same row of the same source is the
    -- same instrument in every later import, whatever its symbol has become meanwhile.
    source text,
    source_key text,
    -- Fields that somebody set by hand; an import leaves them alone.
    edited_fields text[] NOT NULL DEFAULT '{}',
    version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    changed_xid xid8 NOT NULL,
    -- The index's sort key holds the id in 40 bits.
    CONSTRAINT instruments_id_fits_rank CHECK (id BETWEEN 1 AND 1099511627775),
    CONSTRAINT instruments_symbol CHECK (symbol = btrim(symbol) AND length(symbol) BETWEEN 1 AND 32),
    CONSTRAINT instruments_name CHECK (name = btrim(name) AND length(name) BETWEEN 1 AND 300),
    CONSTRAINT instruments_asset_class CHECK (asset_class IN (
        'equity', 'etf', 'fund', 'index', 'currency', 'crypto', 'money_market', 'future', 'option', 'bond')),
    CONSTRAINT instruments_status CHECK (status IN ('active', 'suspended', 'delisted')),
    CONSTRAINT instruments_mic CHECK (mic ~ '^[A-Z0-9]{4}$'),
    CONSTRAINT instruments_exchange CHECK (length(exchange) BETWEEN 1 AND 32),
    CONSTRAINT instruments_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT instruments_country CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT instruments_sector CHECK (length(sector) BETWEEN 1 AND 100),
    CONSTRAINT instruments_industry CHECK (length(industry) BETWEEN 1 AND 100),
    CONSTRAINT instruments_isin CHECK (isin ~ '^[A-Z]{2}[A-Z0-9]{9}[0-9]$'),
    CONSTRAINT instruments_cusip CHECK (cusip ~ '^[A-Z0-9*@#]{8}[0-9]$'),
    CONSTRAINT instruments_sedol CHECK (sedol ~ '^[A-Z0-9]{6}[0-9]$'),
    CONSTRAINT instruments_figi CHECK (figi ~ '^[A-Z0-9]{11}[0-9]$'),
    CONSTRAINT instruments_composite_figi CHECK (composite_figi ~ '^[A-Z0-9]{11}[0-9]$'),
    CONSTRAINT instruments_share_class_figi CHECK (share_class_figi ~ '^[A-Z0-9]{11}[0-9]$'),
    CONSTRAINT instruments_lei CHECK (lei ~ '^[A-Z0-9]{18}[0-9]{2}$'),
    CONSTRAINT instruments_cfi CHECK (cfi ~ '^[A-Z]{6}$'),
    CONSTRAINT instruments_aliases CHECK (array_position(aliases, NULL) IS NULL AND cardinality(aliases) <= 50),
    CONSTRAINT instruments_dates CHECK (delisted_on >= listed_on),
    CONSTRAINT instruments_tick_size CHECK (tick_size > 0 AND tick_size < 'Infinity'),
    CONSTRAINT instruments_lot_size CHECK (lot_size > 0 AND lot_size < 'Infinity'),
    CONSTRAINT instruments_contract CHECK (jsonb_typeof(contract) = 'object'),
    CONSTRAINT instruments_attributes CHECK (jsonb_typeof(attributes) = 'object'),
    CONSTRAINT instruments_source CHECK ((source IS NULL) = (source_key IS NULL))
);

-- A symbol is unique at its venue among the living; 94 thousand real rows name no MIC.
CREATE UNIQUE INDEX instruments_venue_symbol
    ON instruments (coalesce(mic, exchange, ''), symbol) WHERE status <> 'delisted';
CREATE UNIQUE INDEX instruments_source_key ON instruments (source, source_key) WHERE source IS NOT NULL;
-- The refresh reads everything from its watermark on.
CREATE INDEX instruments_changed_xid ON instruments (changed_xid, id);

-- Every state that an instrument has had; written by trigger, never changed.
CREATE TABLE instrument_history (
    instrument_id bigint NOT NULL,
    version integer NOT NULL,
    operation text NOT NULL,
    changed_at timestamptz NOT NULL,
    actor text,
    request_id text,
    -- The row after the change, without nulls and bookkeeping; NULL once it is deleted.
    document jsonb,
    PRIMARY KEY (instrument_id, version),
    CONSTRAINT instrument_history_operation CHECK (operation IN ('created', 'updated', 'deleted')),
    CONSTRAINT instrument_history_document CHECK ((operation = 'deleted') = (document IS NULL))
);

-- What a refresh must take out of the index.
CREATE TABLE instrument_tombstones (
    instrument_id bigint PRIMARY KEY,
    deleted_at timestamptz NOT NULL,
    changed_xid xid8 NOT NULL
);
CREATE INDEX instrument_tombstones_changed_xid ON instrument_tombstones (changed_xid, instrument_id);

-- The time is the row's own, not the transaction's: rows of one import can be told apart by it.
CREATE FUNCTION stamp_instrument() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.id := OLD.id;
        NEW.version := OLD.version;
        NEW.created_at := OLD.created_at;
        NEW.updated_at := OLD.updated_at;
        NEW.changed_xid := OLD.changed_xid;
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NULL; -- nothing changed: no new version, no history, nothing to index
        END IF;
        NEW.version := OLD.version + 1;
    ELSE
        NEW.version := 1;
        NEW.created_at := clock_timestamp();
    END IF;
    NEW.updated_at := clock_timestamp();
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END $$;

CREATE TRIGGER instruments_stamp BEFORE INSERT OR UPDATE ON instruments
    FOR EACH ROW EXECUTE FUNCTION stamp_instrument();

-- Writes the history of a whole statement at once, and wakes the indexer when it commits.
CREATE FUNCTION record_instruments() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who text := nullif(current_setting('registry.actor', true), '');
    request text := nullif(current_setting('registry.request_id', true), '');
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO instrument_history (instrument_id, version, operation, changed_at, actor, request_id)
        SELECT id, version + 1, 'deleted', now(), who, request FROM changed;
        INSERT INTO instrument_tombstones (instrument_id, deleted_at, changed_xid)
        SELECT id, now(), pg_current_xact_id() FROM changed;
    ELSE
        INSERT INTO instrument_history (instrument_id, version, operation, changed_at, actor, request_id, document)
        SELECT id, version, CASE TG_OP WHEN 'INSERT' THEN 'created' ELSE 'updated' END, updated_at, who, request,
               jsonb_strip_nulls(to_jsonb(changed)
                   - '{id,version,created_at,updated_at,changed_xid,source,source_key,edited_fields}'::text[])
        FROM changed;
    END IF;
    PERFORM pg_notify('instruments_changed', '');
    RETURN NULL;
END $$;

CREATE TRIGGER instruments_record_insert AFTER INSERT ON instruments
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_instruments();
CREATE TRIGGER instruments_record_update AFTER UPDATE ON instruments
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_instruments();
CREATE TRIGGER instruments_record_delete AFTER DELETE ON instruments
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_instruments();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = TG_ARGV[0];
END $$;

CREATE TRIGGER instruments_no_truncate BEFORE TRUNCATE ON instruments FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change('DELETE the rows, so that tombstones tell the index.');
CREATE TRIGGER instrument_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON instrument_history
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('History is append-only.');

-- Only hashes of the secrets are kept.
CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text NOT NULL,
    scopes text[] NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_owner CHECK (owner = btrim(owner) AND length(owner) BETWEEN 1 AND 200),
    CONSTRAINT api_keys_scopes CHECK (cardinality(scopes) BETWEEN 1 AND 50 AND array_position(scopes, NULL) IS NULL),
    CONSTRAINT api_keys_secret_sha256 CHECK (length(secret_sha256) = 32)
);

-- Who may write the index now; the token grows with every change of leader and never returns.
CREATE TABLE index_leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    token bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Numbers come from a sequence and are never used twice, even after Redis was emptied.
CREATE TABLE index_generations (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state text NOT NULL DEFAULT 'building',
    created_at timestamptz NOT NULL DEFAULT now(),
    live_at timestamptz,
    documents bigint,
    CONSTRAINT index_generations_state CHECK (state IN ('building', 'live', 'kept', 'failed', 'dropped'))
);
CREATE UNIQUE INDEX index_generations_one_live ON index_generations (state) WHERE state = 'live';

CREATE TABLE index_jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    phase text,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    error text,
    CONSTRAINT index_jobs_kind CHECK (kind IN ('refresh', 'rebuild')),
    CONSTRAINT index_jobs_state CHECK (state IN ('queued', 'running', 'done', 'failed'))
);
-- One job of a kind at a time.
CREATE UNIQUE INDEX index_jobs_single_flight ON index_jobs (kind) WHERE state IN ('queued', 'running');
