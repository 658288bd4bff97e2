-- name: lock
-- False while another transaction works under the same key. Whatever becomes of it, the lock goes with it.
SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(' ', $1::text, $2::text, $3::text, $4::text), 0));

-- name: find
SELECT body_sha256, profile_id, version, answer FROM idempotency_records
WHERE principal = $1 AND method = $2 AND path = $3 AND key = $4 AND expires_at > clock_timestamp();

-- name: remember
-- Replaces a record that has expired. $9: hours.
INSERT INTO idempotency_records
    (principal, method, path, key, body_sha256, profile_id, version, answer, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(hours => $9))
ON CONFLICT (principal, method, path, key) DO UPDATE
SET body_sha256 = excluded.body_sha256, profile_id = excluded.profile_id, version = excluded.version,
    answer = excluded.answer, expires_at = excluded.expires_at;

-- name: remove_expired
-- Up to $1 of them.
DELETE FROM idempotency_records WHERE (principal, method, path, key) IN (
    SELECT principal, method, path, key FROM idempotency_records
    WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1);
