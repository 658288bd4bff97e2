-- A named, owned choice of instruments and channels. Owners look like 'key:trading-desk' or
-- 'jwt:<issuer>:<subject>', so that a token's never equals a key's.
CREATE TABLE profiles (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    channels text[] NOT NULL,
    -- The saved search of a dynamic profile; NULL where members are listed.
    query jsonb,
    member_count integer NOT NULL,
    delivery jsonb NOT NULL,
    status text NOT NULL,
    version integer NOT NULL,
    -- Number of the newest event; taken under the row's lock, so that numbers become visible in order.
    last_event bigint NOT NULL,
    -- Highest number among the stream's events that were removed because of their age.
    events_removed_to bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT profiles_owner CHECK (length(owner) BETWEEN 1 AND 1000),
    CONSTRAINT profiles_name CHECK (name = btrim(name) AND length(name) BETWEEN 1 AND 1000),
    CONSTRAINT profiles_description CHECK (length(description) <= 10000),
    CONSTRAINT profiles_channels CHECK (
        cardinality(channels) BETWEEN 1 AND 5
        AND channels <@ ARRAY['trades', 'quotes', 'bars', 'book', 'reference']),
    CONSTRAINT profiles_query CHECK (
        query IS NULL OR (jsonb_typeof(query) = 'object' AND member_count = 0)),
    CONSTRAINT profiles_member_count CHECK (member_count >= 0),
    CONSTRAINT profiles_delivery CHECK (jsonb_typeof(delivery) = 'object'),
    CONSTRAINT profiles_status CHECK (status IN ('active', 'paused')),
    CONSTRAINT profiles_version CHECK (version >= 1)
);
-- The name first: one index keeps names unique and finds a name among all owners.
CREATE UNIQUE INDEX profiles_name_owner ON profiles (name, owner);
-- Lists go through ids, which grow with time, for one owner and for all.
CREATE INDEX profiles_owner_status_id ON profiles (owner, status, id);
CREATE INDEX profiles_status_id ON profiles (status, id);

CREATE TABLE profile_members (
    profile_id uuid NOT NULL REFERENCES profiles ON DELETE CASCADE,
    instrument_id bigint NOT NULL REFERENCES instruments,
    position bigint NOT NULL,
    PRIMARY KEY (profile_id, instrument_id)
);
CREATE UNIQUE INDEX profile_members_position ON profile_members (profile_id, position) INCLUDE (instrument_id);
CREATE INDEX profile_members_instrument ON profile_members (instrument_id);

-- What happened to a profile: every write, as an audit trail, and what its stream tells besides.
-- Without a foreign key: the trail outlives the profile.
CREATE TABLE profile_events (
    profile_id uuid NOT NULL,
    number bigint NOT NULL,
    owner text NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    version integer NOT NULL,
    actor text,
    request_id text,
    detail jsonb NOT NULL,
    PRIMARY KEY (profile_id, number),
    CONSTRAINT profile_events_kind CHECK (
        kind IN ('created', 'updated', 'deleted', 'instruments', 'membership', 'reset')),
    CONSTRAINT profile_events_actor CHECK (kind NOT IN ('created', 'updated', 'deleted') OR actor IS NOT NULL)
);
CREATE INDEX profile_events_removable ON profile_events (at) WHERE kind IN ('instruments', 'membership', 'reset');

-- Profiles that somebody listens to, and up to where their streams have told what changed.
CREATE TABLE profile_watches (
    profile_id uuid PRIMARY KEY REFERENCES profiles ON DELETE CASCADE,
    listened_until timestamptz NOT NULL,
    -- Changes of instruments that this snapshot sees have been told.
    told pg_snapshot NOT NULL,
    -- The ids that a dynamic selection held when it was last compared; NULL before the first time.
    members bigint[]
);
CREATE INDEX profile_watches_listened_until ON profile_watches (listened_until);

-- Listeners only are notified: a NOTIFY makes commits wait for each other.
CREATE FUNCTION announce_profile_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('profile_events', profile_id::text)
    FROM (SELECT DISTINCT profile_id FROM added) AS changed JOIN profile_watches USING (profile_id)
    WHERE listened_until > clock_timestamp();
    RETURN NULL;
END $$;
CREATE TRIGGER profile_events_announce AFTER INSERT ON profile_events
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION announce_profile_events();

CREATE FUNCTION refuse_audit_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM removed WHERE kind IN ('created', 'updated', 'deleted')) THEN
        RAISE EXCEPTION 'DELETE of audit events is not allowed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER profile_events_keep_audit AFTER DELETE ON profile_events
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_removal();
CREATE TRIGGER profile_events_append_only BEFORE UPDATE OR TRUNCATE ON profile_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('Events are append-only.');

-- Whether the copies of profiles in Redis may be read.
CREATE TABLE profile_copies (
    single_row boolean PRIMARY KEY DEFAULT true CHECK (single_row),
    -- Every resumption begins another; 0 before the first.
    epoch bigint NOT NULL,
    -- Which run of which Redis server holds the copies of this epoch, and which Postgres they are of.
    redis_run_id text,
    cluster text,
    -- Since when no copy may be read; NULL while they may.
    suspended_at timestamptz,
    CONSTRAINT profile_copies_of_servers CHECK (
        suspended_at IS NOT NULL OR (redis_run_id IS NOT NULL AND cluster IS NOT NULL))
);
INSERT INTO profile_copies (epoch, suspended_at) VALUES (0, now());

-- For writers, just before their commit: copies cannot be resumed until then. Its queries each see what was
-- committed when they begin, so the state is as it was after the lock was taken.
CREATE FUNCTION join_profile_copies(OUT epoch bigint, OUT redis_run_id text, OUT suspended boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('profile copies', 0));
    SELECT copies.epoch, copies.redis_run_id, suspended_at IS NOT NULL FROM profile_copies AS copies
    INTO epoch, redis_run_id, suspended;
END $$;

-- Answers of successful writes, for retries with the same Idempotency-Key.
CREATE TABLE idempotency_records (
    principal text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    key text NOT NULL,
    body_sha256 bytea NOT NULL,
    profile_id uuid NOT NULL,
    version integer NOT NULL,
    answer bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (principal, method, path, key),
    CONSTRAINT idempotency_records_body_sha256 CHECK (length(body_sha256) = 32)
);
CREATE INDEX idempotency_records_expires_at ON idempotency_records (expires_at);

ALTER TABLE api_keys
    ADD COLUMN last_used_at timestamptz,
    -- NULL: the service's default.
    ADD COLUMN requests_per_minute integer,
    ADD CONSTRAINT api_keys_requests_per_minute CHECK (requests_per_minute > 0);

-- Which transaction made a change: tells exactly what a snapshot has not seen. NULL: before this column.
ALTER TABLE instrument_history ADD COLUMN changed_xid xid8;

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
