-- name: state
-- `foreign`: the copies are of another Postgres than this one, which was restored or failed over.
SELECT epoch, redis_run_id, suspended_at IS NOT NULL AS suspended,
       cluster IS DISTINCT FROM cluster_timeline() AS "foreign"
FROM profile_copies;

-- name: join
SELECT epoch, redis_run_id, suspended, false AS "foreign" FROM join_profile_copies();

-- name: require
-- Fails with 40001 (serialization_failure) unless $1 is the epoch; it is, until the transaction ends.
SELECT require_profile_copies($1);

-- name: suspend
-- The epoch whose copies nobody may read any more.
UPDATE profile_copies SET suspended_at = coalesce(suspended_at, clock_timestamp()) RETURNING epoch;

-- name: limit_lock_wait
SELECT set_config('lock_timeout', '500ms', true);

-- name: lock_for_resumption
-- Waits until every writer that joined has committed, and holds the next ones up.
SELECT pg_advisory_xact_lock(hashtextextended('profile copies', 0));

-- name: resume
-- $1: the suspended epoch, $2: the run of the Redis that shall hold the copies of the next.
UPDATE profile_copies
SET epoch = epoch + 1, redis_run_id = $2, suspended_at = NULL,
    cluster = cluster_timeline()
WHERE epoch = $1 AND suspended_at IS NOT NULL
RETURNING epoch;
