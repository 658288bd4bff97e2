-- name: take
-- `is_ours` is false while another transaction works under the same key. Whatever becomes of it, its lock goes with
-- it. `body_sha256` NULL: no answer is stored.
SELECT place, taken.*
FROM jsonb_to_recordset($1) AS given(place int, scope text[]) CROSS JOIN LATERAL take_idempotency_key(scope) AS taken;

-- name: remember
-- Replaces a record that has expired.
INSERT INTO idempotency_records
    (principal, method, path, key, body_sha256, profile_id, version, answer, expires_at)
SELECT scope[1], scope[2], scope[3], scope[4], decode(body_sha256, 'hex'), profile, version, decode(answer, 'hex'),
       clock_timestamp() + make_interval(hours => hours)
FROM jsonb_to_recordset($1) AS given(
    scope text[], body_sha256 text, profile uuid, version integer, answer text, hours integer)
ON CONFLICT (principal, method, path, key) DO UPDATE
SET body_sha256 = excluded.body_sha256, profile_id = excluded.profile_id, version = excluded.version,
    answer = excluded.answer, expires_at = excluded.expires_at;

-- name: remove_expired
-- Up to $1 of them.
DELETE FROM idempotency_records WHERE (principal, method, path, key) IN (
    SELECT principal, method, path, key FROM idempotency_records
    WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1);
