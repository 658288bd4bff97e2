-- name: profile_columns
       id, owner, name, description, channels, query::text, member_count, delivery::text, status, version,
       created_at, updated_at

-- name: member_columns
       , ARRAY(SELECT instrument_id FROM profile_members
               WHERE profile_id = profiles.id ORDER BY position) AS members

-- name: read
SELECT
-- include: profile_columns
-- include: member_columns
FROM profiles WHERE id = $1;

-- name: lock
-- The row is as it was when its lock was granted, but `members` are those of the statement's snapshot, which is
-- older: if somebody wrote in between, `version_of_members` is not `version`.
SELECT
-- include: profile_columns
-- include: member_columns
       , (SELECT version FROM profiles AS seen WHERE seen.id = profiles.id) AS version_of_members
FROM profiles WHERE id = $1 FOR UPDATE;

-- name: lock_unless_being_written
-- True if the profile is there and nobody is writing it; nobody will until the transaction ends.
SELECT true FROM profiles WHERE id = $1 FOR SHARE SKIP LOCKED;

-- name: lock_owner
-- Creations of one owner wait for each other, so that their number is exact.
SELECT pg_advisory_xact_lock(hashtextextended('profiles of ' || $1::text, 0));

-- name: count_of_owner
SELECT count(*) FROM profiles WHERE owner = $1;

-- name: unusable_instruments
-- Which of the numbers are not those of living instruments; status NULL: there is no such instrument.
SELECT number, status
FROM unnest($1::bigint[]) AS wanted(number) LEFT JOIN instruments ON instruments.id = number
WHERE status IS NULL OR status = 'delisted';

-- name: insert
WITH profile AS (
    INSERT INTO profiles (id, owner, name, description, channels, query, member_count, delivery, status,
                          version, last_event, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, 1, clock_timestamp(), clock_timestamp())
    RETURNING *
), event AS (
    INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
    SELECT id, last_event, owner, 'created', updated_at, version, $10, $11, $12 FROM profile
)
SELECT
-- include: profile_columns
FROM profile;

-- name: update
WITH profile AS (
    UPDATE profiles
    SET name = $2, description = $3, channels = $4, query = $5, member_count = $6, delivery = $7, status = $8,
        version = version + 1, last_event = last_event + 1, updated_at = clock_timestamp()
    WHERE id = $1
    RETURNING *
), event AS (
    INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
    SELECT id, last_event, owner, 'updated', updated_at, version, $9, $10, $11 FROM profile
), watch AS (
    -- What another query selects cannot be compared; the profile is still seen here as it was before.
    UPDATE profile_watches SET members = NULL FROM profiles
    WHERE profile_id = id AND id = $1 AND query IS DISTINCT FROM $5
)
SELECT
-- include: profile_columns
FROM profile;

-- name: record_deletion
-- Before the profile goes, for its listeners are found through it.
INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
SELECT id, last_event + 1, owner, 'deleted', clock_timestamp(), version + 1, $2, $3, $4 FROM profiles WHERE id = $1;

-- name: delete
DELETE FROM profiles WHERE id = $1;

-- name: remove_members
-- $2: these, or all where it is NULL.
DELETE FROM profile_members WHERE profile_id = $1 AND ($2::bigint[] IS NULL OR instrument_id = ANY ($2));

-- name: add_members
-- Behind those that are there, in the order given.
INSERT INTO profile_members (profile_id, instrument_id, position)
SELECT $1, number, place + (SELECT coalesce(max(position), 0) FROM profile_members WHERE profile_id = $1)
FROM unnest($2::bigint[]) WITH ORDINALITY AS given(number, place);

-- name: page
-- In the order of ids. Each status is read in the order of the index on (status, id): comparing rows, and
-- ordering by both columns, keeps the planner from walking all ids in search of a rare status.
-- $1: statuses, $2: beyond this id, $3: how many.
SELECT
-- include: profile_columns
FROM (
    SELECT found.* FROM unnest($1::text[]) AS wanted(wanted_status)
    CROSS JOIN LATERAL (
        SELECT * FROM profiles WHERE (status, id) > (wanted_status, $2) AND status <= wanted_status
        ORDER BY status, id LIMIT $3
    ) AS found
) AS merged ORDER BY id LIMIT $3;

-- name: page_of_owner
-- As `page`, of one owner. $1: owner, $2: statuses, $3: beyond this id, $4: how many.
SELECT
-- include: profile_columns
FROM (
    SELECT found.* FROM unnest($2::text[]) AS wanted(wanted_status)
    CROSS JOIN LATERAL (
        SELECT * FROM profiles
        WHERE (owner, status, id) > ($1, wanted_status, $3) AND (owner, status) <= ($1, wanted_status)
        ORDER BY owner, status, id LIMIT $4
    ) AS found
) AS merged ORDER BY id LIMIT $4;

-- name: events
-- The newest $3 with a number below $2 (or NULL), newest first.
SELECT number, kind, at, version, actor, request_id, detail::text, owner
FROM profile_events WHERE profile_id = $1 AND ($2::bigint IS NULL OR number < $2)
ORDER BY number DESC LIMIT $3;
