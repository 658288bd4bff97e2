-- name: key_columns
id, owner, scopes, secret_sha256, created_at, expires_at, revoked_at, last_used_at, requests_per_minute

-- name: known
-- The valid keys, and those that ended in the last 30 days: their bearers are told what happened.
SELECT
-- include: key_columns
FROM api_keys WHERE least(revoked_at, expires_at) IS NULL OR least(revoked_at, expires_at) > now() - interval '30 days';

-- name: all
SELECT
-- include: key_columns
FROM api_keys ORDER BY id;

-- name: add
INSERT INTO api_keys (owner, scopes, secret_sha256, expires_at, requests_per_minute)
VALUES ($1, $2, $3, $4, $5)
RETURNING id;

-- name: set_only_key
-- The owner has this key, with these scopes, and no other.
WITH revoked AS (
    UPDATE api_keys SET revoked_at = now() WHERE owner = $1 AND secret_sha256 <> $3 AND revoked_at IS NULL
)
INSERT INTO api_keys (owner, scopes, secret_sha256) VALUES ($1, $2, $3)
ON CONFLICT (secret_sha256) DO UPDATE
SET owner = excluded.owner, scopes = excluded.scopes, revoked_at = NULL, expires_at = NULL;

-- name: revoke
-- The row if there is such a key, revoked now or before.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id;

-- name: lock
-- A key that nobody else changes until the transaction ends.
SELECT revoked_at, expires_at <= now() AS has_expired FROM api_keys WHERE id = $1 FOR UPDATE;

-- name: add_successor
-- A key like another, with another secret, valid from now for as long as the other was made to be.
INSERT INTO api_keys (owner, scopes, secret_sha256, expires_at, requests_per_minute)
SELECT owner, scopes, $2, now() + (expires_at - created_at), requests_per_minute FROM api_keys WHERE id = $1
RETURNING id, owner, expires_at;

-- name: end_within
-- Never later than it would have ended.
UPDATE api_keys SET expires_at = least(expires_at, now() + $2::interval) WHERE id = $1 RETURNING expires_at;

-- name: record_uses
-- Many processes say the same of a busy key: what is nearly as late already is left alone, and rows are
-- locked in one order.
WITH due AS (
    SELECT api_keys.id, used.used_at
    FROM api_keys JOIN unnest($1::bigint[], $2::timestamptz[]) AS used (id, used_at) USING (id)
    WHERE last_used_at IS NULL OR last_used_at < used.used_at - interval '10 seconds'
    ORDER BY id
    FOR NO KEY UPDATE OF api_keys
)
UPDATE api_keys SET last_used_at = due.used_at FROM due WHERE api_keys.id = due.id;
