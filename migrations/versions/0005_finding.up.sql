ALTER TABLE instruments
    -- When it is delisted by itself; NULL: with the first moment (UTC) of delisted_on, if that lies ahead.
    ADD COLUMN delist_at timestamptz,
    -- Symbols that it had, and names that it goes by for a time: objects of alias, kind ('symbol' or 'name'),
    -- valid_from and valid_to (the first day on which it no longer is), dates or null.
    ADD COLUMN dated_aliases jsonb NOT NULL DEFAULT '[]',
    -- When something of the above takes effect next; kept by the trigger.
    ADD COLUMN due_at timestamptz,
    ADD CONSTRAINT instruments_dated_aliases CHECK (
        jsonb_typeof(dated_aliases) = 'array' AND jsonb_array_length(dated_aliases) <= 200);
CREATE INDEX instruments_due ON instruments (due_at) WHERE due_at IS NOT NULL;

CREATE FUNCTION today_utc() RETURNS date LANGUAGE sql STABLE AS $$
    SELECT (now() AT TIME ZONE 'UTC')::date
$$;

-- The aliases that find an instrument today: people go on using a symbol that it once had, not a name.
CREATE FUNCTION present_aliases(aliases text[], dated jsonb) RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT aliases || ARRAY(
        SELECT alias FROM jsonb_to_recordset(dated) AS entry(alias text, kind text, valid_from date, valid_to date)
        WHERE coalesce(valid_from <= today_utc(), true)
          AND (kind = 'symbol' OR coalesce(valid_to > today_utc(), true))
          AND alias <> ALL (aliases)
        GROUP BY alias ORDER BY max(valid_to) DESC NULLS FIRST, alias)
$$;

-- As they are compared: all aliases that it ever had or will have.
CREATE FUNCTION alias_keys(aliases text[], dated jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path FROM CURRENT AS $$
    SELECT symbol_keys(aliases || ARRAY(SELECT jsonb_array_elements(dated) ->> 'alias'))
$$;
-- Beside instruments_alias_keys, which the version before this one still searches by: a later migration drops that.
CREATE INDEX instruments_every_alias_key ON instruments USING gin (alias_keys(aliases, dated_aliases))
    WHERE aliases <> '{}' OR dated_aliases <> '[]';

CREATE FUNCTION next_alias_edge(dated jsonb) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT min(edge)::timestamp AT TIME ZONE 'UTC'
    FROM jsonb_to_recordset(dated) AS entry(kind text, valid_from date, valid_to date),
         LATERAL (VALUES (valid_from), (CASE kind WHEN 'name' THEN valid_to END)) AS edges(edge)
    WHERE edge > today_utc()
$$;

-- The time is the row's own, not the transaction's: rows of one import can be told apart by it.
CREATE OR REPLACE FUNCTION stamp_instrument() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    symbol_since date;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        NEW.id := OLD.id;
        NEW.version := OLD.version;
        NEW.created_at := OLD.created_at;
        NEW.updated_at := OLD.updated_at;
        NEW.changed_xid := OLD.changed_xid;
        IF symbol_key(NEW.symbol) <> symbol_key(OLD.symbol) THEN
            -- From when on it had the old one is known where it had another before.
            symbol_since := coalesce(
                (SELECT max(valid_to) FROM jsonb_to_recordset(OLD.dated_aliases)
                     AS entry(kind text, valid_to date) WHERE kind = 'symbol' AND valid_to <= today_utc()),
                OLD.listed_on);
            IF coalesce(symbol_since < today_utc(), true) THEN -- not for a day otherwise: a slip, say
                NEW.dated_aliases := NEW.dated_aliases || jsonb_build_object(
                    'alias', OLD.symbol, 'kind', 'symbol', 'valid_from', symbol_since, 'valid_to', today_utc());
            END IF;
        END IF;
        IF NEW.delisted_on IS DISTINCT FROM OLD.delisted_on AND NEW.delist_at IS NOT DISTINCT FROM OLD.delist_at THEN
            NEW.delist_at := NULL;
        END IF;
    ELSE
        NEW.version := 1;
        NEW.created_at := clock_timestamp();
    END IF;
    NEW.due_at := NULL;
    IF NEW.status <> 'delisted' AND NEW.delisted_on IS NOT NULL THEN
        NEW.due_at := coalesce(NEW.delist_at, NEW.delisted_on::timestamp AT TIME ZONE 'UTC');
        IF NEW.due_at <= now() THEN
            NEW.status := 'delisted';
            NEW.due_at := NULL;
        END IF;
    END IF;
    IF NEW.dated_aliases <> '[]' THEN
        NEW.due_at := least(NEW.due_at, next_alias_edge(NEW.dated_aliases));
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW IS NOT DISTINCT FROM OLD THEN
            RETURN NULL; -- nothing changed: no new version, no history, nothing to index
        END IF;
        NEW.version := OLD.version + 1;
    END IF;
    NEW.updated_at := clock_timestamp();
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION record_instruments() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who text := nullif(current_setting('registry.actor', true), '');
    request text := nullif(current_setting('registry.request_id', true), '');
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO instrument_history
            (instrument_id, version, operation, changed_at, actor, request_id, changed_xid)
        SELECT id, version + 1, 'deleted', now(), who, request, pg_current_xact_id() FROM changed;
        INSERT INTO instrument_tombstones (instrument_id, deleted_at, changed_xid)
        SELECT id, now(), pg_current_xact_id() FROM changed;
    ELSE
        INSERT INTO instrument_history
            (instrument_id, version, operation, changed_at, actor, request_id, changed_xid, document)
        SELECT id, version, CASE TG_OP WHEN 'INSERT' THEN 'created' ELSE 'updated' END, updated_at, who, request,
               changed_xid,
               jsonb_strip_nulls(to_jsonb(changed)
                   - '{id,version,created_at,updated_at,changed_xid,source,source_key,edited_fields,due_at}'::text[])
        FROM changed;
    END IF;
    PERFORM pg_notify('instruments_changed', '');
    RETURN NULL;
END $$;

-- Imports stored delistings that lay ahead before there was a due_at: the trigger finds it, or delists what is overdue.
SELECT set_config('registry.actor', 'migration', true);
UPDATE instruments SET due_at = NULL WHERE status <> 'delisted' AND delisted_on IS NOT NULL;

-- What must come first for a query, whatever its rank.
CREATE TABLE search_pins (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    query text NOT NULL,
    -- As queries are compared.
    query_key text NOT NULL UNIQUE,
    note text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT search_pins_query CHECK (length(query) BETWEEN 1 AND 200 AND length(query_key) BETWEEN 1 AND 800),
    CONSTRAINT search_pins_note CHECK (length(note) <= 1000)
);
CREATE TABLE search_pin_instruments (
    pin_id bigint NOT NULL REFERENCES search_pins ON DELETE CASCADE,
    position integer NOT NULL,
    instrument_id bigint NOT NULL REFERENCES instruments ON DELETE CASCADE,
    PRIMARY KEY (pin_id, position),
    UNIQUE (pin_id, instrument_id)
);
CREATE INDEX search_pin_instruments_instrument ON search_pin_instruments (instrument_id);
CREATE TABLE search_pin_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pin_id bigint NOT NULL,
    operation text NOT NULL,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    request_id text,
    -- The pin after the change; NULL once it is deleted.
    document jsonb,
    CONSTRAINT search_pin_events_operation CHECK (operation IN ('created', 'updated', 'deleted'))
);
CREATE INDEX search_pin_events_pin ON search_pin_events (pin_id, id DESC);
CREATE TRIGGER search_pin_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON search_pin_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('The audit trail is append-only.');
