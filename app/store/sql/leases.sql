-- name: acquire
-- Take the lease if it is free, expired or already held, on the database's clock; $3 in seconds.
-- The token grows whenever the holder changes. No row: somebody else holds it.
INSERT INTO index_leases AS lease (name, holder, token, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder,
    token = CASE WHEN lease.holder = excluded.holder AND lease.expires_at > clock_timestamp()
                 THEN lease.token ELSE lease.token + 1 END,
    expires_at = excluded.expires_at
WHERE lease.holder = excluded.holder OR lease.expires_at <= clock_timestamp()
RETURNING token;

-- name: release
UPDATE index_leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2;

-- name: holder
SELECT holder, token FROM index_leases WHERE name = $1 AND expires_at > clock_timestamp();
