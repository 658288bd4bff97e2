-- name: lock
-- The profile, whose events nobody else numbers until the transaction ends.
SELECT owner, query IS NOT NULL AS is_dynamic FROM profiles WHERE id = $1 FOR UPDATE;

-- name: lock_in_order
-- Several profiles, in the one order that keeps those who lock several from waiting for each other.
SELECT FROM profiles WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE;

-- name: lock_watches_in_order
SELECT FROM profile_watches WHERE profile_id = ANY ($1::uuid[]) ORDER BY profile_id FOR UPDATE;

-- name: listen
-- Somebody listens, for the next $2 seconds at least; whether anybody did until now. No row: there is no
-- watch, or it is of another cluster, where transactions were counted differently.
UPDATE profile_watches SET listened_until = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT profile_id, listened_until > clock_timestamp() AS was_listened, members IS NOT NULL AS has_members
    FROM profile_watches WHERE profile_id = $1 FOR UPDATE
) AS before
WHERE profile_watches.profile_id = before.profile_id
  AND pg_snapshot_xmax(told) <= pg_snapshot_xmax(pg_current_snapshot())
RETURNING was_listened, has_members;

-- name: begin
INSERT INTO profile_watches (profile_id, listened_until, told)
VALUES ($1, clock_timestamp() + make_interval(secs => $2), pg_current_snapshot())
ON CONFLICT (profile_id) DO UPDATE
SET listened_until = excluded.listened_until, told = excluded.told, members = NULL;

-- name: keep
-- Of the profiles that are listened to, those whose watch never lapsed; it goes on.
UPDATE profile_watches SET listened_until = clock_timestamp() + make_interval(secs => $2)
FROM (
    SELECT profile_id FROM profile_watches
    WHERE profile_id = ANY ($1::uuid[]) AND listened_until > clock_timestamp()
    ORDER BY profile_id FOR UPDATE
) AS kept
WHERE profile_watches.profile_id = kept.profile_id
RETURNING kept.profile_id;

-- name: last_event
SELECT last_event FROM profiles WHERE id = $1;

-- name: events
-- For each profile in $1 up to $3 events after its number in $2, oldest first; NULLs where there are none.
-- `reset_to`: where to go on from, if some of the events asked for were removed.
SELECT wanted.profile_id, CASE WHEN events_removed_to > after THEN last_event END AS reset_to,
       event.number, kind, at, event.version, actor, request_id, detail::text
FROM unnest($1::uuid[], $2::bigint[]) AS wanted(profile_id, after)
LEFT JOIN profiles ON profiles.id = wanted.profile_id
LEFT JOIN LATERAL (
    SELECT * FROM profile_events
    WHERE profile_events.profile_id = wanted.profile_id AND profile_events.number > after
    ORDER BY profile_events.number LIMIT $3
) AS event ON true
ORDER BY wanted.profile_id, event.number;

-- name: listened
SELECT profile_id, query IS NOT NULL AS is_dynamic
FROM profile_watches JOIN profiles ON id = profile_id
WHERE listened_until > clock_timestamp() ORDER BY profile_id;

-- name: append
-- An event of the stream. It is no change of the profile: version and time stay.
WITH profile AS (
    UPDATE profiles SET last_event = last_event + 1 WHERE id = $1 RETURNING id, last_event, owner, version
)
INSERT INTO profile_events (profile_id, number, owner, kind, at, version, detail)
SELECT id, last_event, owner, $2, clock_timestamp(), version, $3 FROM profile;

-- name: tell_changed
-- Members whose instrument changed since it was told, with its state then and now; of each profile up to $2.
-- What is told from here on is exactly what this statement's own snapshot sees. A transaction id that this cluster has not
-- reached came with a dump, and says nothing.
WITH watch AS (
    SELECT profile_id, told, members FROM profile_watches WHERE profile_id = ANY ($1::uuid[])
), advanced AS (
    UPDATE profile_watches SET told = pg_current_snapshot() WHERE profile_id = ANY ($1::uuid[])
), changed AS MATERIALIZED (
    SELECT id, changed_xid FROM instruments
    WHERE changed_xid >= (SELECT min(pg_snapshot_xmin(told)) FROM watch)
      AND changed_xid < pg_snapshot_xmax(pg_current_snapshot())
), untold AS (
    SELECT watch.profile_id, told, changed.id,
           row_number() OVER (PARTITION BY watch.profile_id ORDER BY changed.id) AS place
    FROM watch
    CROSS JOIN LATERAL (
        SELECT instrument_id FROM profile_members WHERE profile_members.profile_id = watch.profile_id
        UNION ALL SELECT unnest(members)
    ) AS member
    JOIN changed ON changed.id = member.instrument_id AND NOT pg_visible_in_snapshot(changed.changed_xid, told)
)
SELECT profile_id, untold.id AS instrument_id, present.version, present.document::text,
       earlier.document::text AS previous
FROM untold
JOIN LATERAL (
    SELECT version, document FROM instrument_history
    WHERE instrument_id = untold.id ORDER BY version DESC LIMIT 1
) AS present ON true
LEFT JOIN LATERAL (
    SELECT document FROM instrument_history
    WHERE instrument_id = untold.id
      AND (instrument_history.changed_xid IS NULL
           OR pg_visible_in_snapshot(instrument_history.changed_xid, told))
    ORDER BY version DESC LIMIT 1
) AS earlier ON true
WHERE place <= $2
ORDER BY profile_id, untold.id;

-- name: lock_comparison
-- Comparisons of one selection take turns, and hold nobody up who writes the profile.
SELECT pg_advisory_xact_lock(hashtextextended('selection of ' || $1::uuid, 0));

-- name: query
SELECT query::text FROM profiles WHERE id = $1;

-- name: members
SELECT query::text, members FROM profile_watches JOIN profiles ON id = profile_id WHERE profile_id = $1;

-- name: store_members
UPDATE profile_watches SET members = $2 WHERE profile_id = $1;

-- name: profiles_with_old_events
SELECT DISTINCT profile_id FROM (
    SELECT profile_id FROM profile_events
    WHERE kind IN ('instruments', 'membership', 'reset') AND at < clock_timestamp() - make_interval(secs => $1)
    ORDER BY at LIMIT $2
) AS old;

-- name: remove_old_events
-- The oldest of a profile's, and the mark that tells a resuming listener of it, in one step.
WITH removed AS (
    DELETE FROM profile_events
    WHERE profile_id = $1 AND number IN (
        SELECT number FROM profile_events
        WHERE profile_id = $1 AND kind IN ('instruments', 'membership', 'reset')
          AND at < clock_timestamp() - make_interval(secs => $2)
        ORDER BY number LIMIT $3)
    RETURNING number
), marked AS (
    UPDATE profiles SET events_removed_to = greatest(events_removed_to, (SELECT max(number) FROM removed))
    WHERE id = $1
)
SELECT count(*) FROM removed;

-- name: remove_idle
DELETE FROM profile_watches WHERE listened_until < clock_timestamp() - make_interval(secs => $1);
