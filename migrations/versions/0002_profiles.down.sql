CREATE OR REPLACE FUNCTION record_instruments() RETURNS trigger LANGUAGE plpgsql AS $$
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
ALTER TABLE instrument_history DROP COLUMN changed_xid;
ALTER TABLE api_keys DROP COLUMN last_used_at, DROP COLUMN requests_per_minute;
DROP TABLE idempotency_records, profile_copies, profile_watches, profile_events, profile_members, profiles;
DROP FUNCTION announce_profile_events(), refuse_audit_removal(), join_profile_copies();
