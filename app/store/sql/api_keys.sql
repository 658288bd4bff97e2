-- name: key_columns
id, owner, scopes, secret_sha256, created_at, expires_at, revoked_at, last_used_at, requests_per_minute

-- name: valid
SELECT
-- include: key_columns
FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());

-- name: all
SELECT
-- include: key_columns
FROM api_keys ORDER BY id;

-- name: add
INSERT INTO api_keys (owner, scopes, secret_sha256, expires_at) VALUES ($1, $2, $3, $4)
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
