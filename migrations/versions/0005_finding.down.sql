DROP TABLE search_pin_events, search_pin_instruments, search_pins;
CREATE OR REPLACE FUNCTION stamp_instrument() RETURNS trigger LANGUAGE plpgsql AS $$
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
                   - '{id,version,created_at,updated_at,changed_xid,source,source_key,edited_fields}'::text[])
        FROM changed;
    END IF;
    PERFORM pg_notify('instruments_changed', '');
    RETURN NULL;
END $$;

DROP INDEX instruments_every_alias_key;
ALTER TABLE instruments DROP COLUMN delist_at, DROP COLUMN dated_aliases, DROP COLUMN due_at;
DROP FUNCTION present_aliases(text[], jsonb), alias_keys(text[], jsonb), next_alias_edge(jsonb), today_utc();
