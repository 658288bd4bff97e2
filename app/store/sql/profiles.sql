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
-- older: if somebody wrote in between, `version_of_members` is not `version`. In the order of ids, so that groups
-- do not wait for each other in a circle.
SELECT place, locked.*
FROM (SELECT * FROM jsonb_to_recordset($1) AS given(place int, profile uuid) ORDER BY profile) AS given
CROSS JOIN LATERAL (
    SELECT
-- include: profile_columns
-- include: member_columns
           , (SELECT version FROM profiles AS seen WHERE seen.id = profiles.id) AS version_of_members
    FROM profiles WHERE id = given.profile FOR UPDATE
) AS locked;

-- name: lock_unless_being_written
-- True if the profile is there and nobody is writing it; nobody will until the transaction ends.
SELECT true FROM profiles WHERE id = $1 FOR SHARE SKIP LOCKED;

-- name: lock_owner
-- Creations of one owner wait for each other, so that their number is exact.
SELECT place, pg_advisory_xact_lock(hashtextextended('profiles of ' || owner, 0))
FROM (SELECT * FROM jsonb_to_recordset($1) AS given(place int, owner text) ORDER BY owner) AS given;

-- name: count_of_owner
SELECT place, (SELECT count(*) FROM profiles WHERE profiles.owner = given.owner) AS profiles
FROM jsonb_to_recordset($1) AS given(place int, owner text);

-- name: unusable_instruments
-- Which of the numbers are not those of living instruments; status NULL: there is no such instrument. OFFSET 0
-- keeps the planner from looking each up twice.
SELECT place, number, status
FROM jsonb_to_recordset($1) AS given(place int, numbers bigint[])
CROSS JOIN LATERAL (
    SELECT number, (SELECT status FROM instruments WHERE id = number) AS status FROM unnest(numbers) AS number
    OFFSET 0
) AS wanted
WHERE status IS NULL OR status = 'delisted';

-- name: given_columns
    place int, profile uuid, owner text, name text, description text, channels text[], query jsonb,
    member_count int, delivery jsonb, status text, actor text, request_id text, detail jsonb, removed bigint[],
    added bigint[]

-- name: leaving_part
-- Materialized, so that each number is looked up, in place of looking through all members for each.
leaving AS MATERIALIZED (SELECT profile, number FROM given CROSS JOIN unnest(removed) AS number)

-- name: coming_part
-- Behind those that are there, in the order given.
coming AS (
    INSERT INTO profile_members (profile_id, instrument_id, position)
    SELECT profile, number, last + ordinality
    FROM given
    CROSS JOIN LATERAL (
        SELECT coalesce(max(position), 0) AS last FROM profile_members WHERE profile_id = profile
    ) AS there
    CROSS JOIN unnest(added) WITH ORDINALITY AS coming(number, ordinality)
)

-- name: insert
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1) AS given(
-- include: given_columns
    )
), new_profile AS (
    INSERT INTO profiles (id, owner, name, description, channels, query, member_count, delivery, status,
                          version, last_event, created_at, updated_at)
    SELECT profile, owner, name, description, channels, query, member_count, delivery, status,
           1, 1, clock_timestamp(), clock_timestamp()
    FROM given
    RETURNING *
), event AS (
    INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
    SELECT id, last_event, new_profile.owner, 'created', updated_at, version, actor, request_id, detail
    FROM new_profile JOIN given ON profile = id
),
-- include: coming_part
SELECT place, id, new_profile.owner, version, created_at, updated_at FROM new_profile JOIN given ON profile = id;

-- name: update
-- No member is both removed and added: which comes first is not said.
WITH given AS (
    SELECT * FROM jsonb_to_recordset($1) AS given(
-- include: given_columns
    )
), changed AS (
    UPDATE profiles
    SET name = given.name, description = given.description, channels = given.channels, query = given.query,
        member_count = given.member_count, delivery = given.delivery, status = given.status,
        version = version + 1, last_event = last_event + 1, updated_at = clock_timestamp()
    FROM given WHERE id = profile
    RETURNING place, id, profiles.owner, version, last_event, created_at, updated_at, actor, request_id, detail
), event AS (
    INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
    SELECT id, last_event, owner, 'updated', updated_at, version, actor, request_id, detail FROM changed
), watch AS (
    -- What another query selects cannot be compared; the profile is still seen here as it was before.
    UPDATE profile_watches SET members = NULL FROM profiles JOIN given ON id = profile
    WHERE profile_id = id AND profiles.query IS DISTINCT FROM given.query
),
-- include: leaving_part
, left_behind AS (
    DELETE FROM profile_members USING leaving WHERE profile_id = profile AND instrument_id = number
),
-- include: coming_part
SELECT place, id, owner, version, created_at, updated_at FROM changed;

-- name: record_deletion
-- Before the profile goes, for its listeners are found through it.
INSERT INTO profile_events (profile_id, number, owner, kind, at, version, actor, request_id, detail)
SELECT id, last_event + 1, owner, 'deleted', clock_timestamp(), version + 1, actor, request_id, detail
FROM jsonb_to_recordset($1) AS given(profile uuid, actor text, request_id text, detail jsonb)
JOIN profiles ON id = profile;

-- name: delete
DELETE FROM profiles USING jsonb_to_recordset($1) AS given(profile uuid) WHERE id = profile;

-- name: remove_members
WITH given AS (SELECT * FROM jsonb_to_recordset($1) AS given(profile uuid, removed bigint[])),
-- include: leaving_part
DELETE FROM profile_members USING leaving WHERE profile_id = profile AND instrument_id = number;

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
