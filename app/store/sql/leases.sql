-- name: acquire
-- Take the lease if it is free, expired or already held, on the database's clock; $3 in seconds.
-- The token grows whenever the holder changes, and beyond $4, the one that Redis has seen: Postgres may
-- have been restored to a state before it. No row: somebody else holds the lease.
INSERT INTO index_leases AS lease (name, holder, token, expires_at)
VALUES ($1, $2, $4::bigint + 1, clock_timestamp() + make_interval(secs => $3))
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder,
    token = CASE WHEN lease.holder = excluded.holder AND lease.expires_at > clock_timestamp()
                      AND lease.token >= $4
                 THEN lease.token ELSE greatest(lease.token, $4) + 1 END,
    expires_at = excluded.expires_at
WHERE lease.holder = excluded.holder OR lease.expires_at <= clock_timestamp()
RETURNING token;

-- name: renew
-- Hold the lease on for $3 seconds if nobody has taken it since, though it may have expired meanwhile. The disk is
-- not waited for: after a crash of Postgres it would only have expired earlier.
UPDATE index_leases SET expires_at = clock_timestamp() + make_interval(secs => $3)
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unwritten
WHERE name = $1 AND holder = $2 AND token = $4
RETURNING token;

-- name: release
UPDATE index_leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2;

-- name: holder
SELECT holder FROM index_leases WHERE name = $1 AND expires_at > clock_timestamp();

-- name: abandoned
-- The leases that nobody has held for $2 seconds, of those whose names begin with $1.
SELECT name FROM index_leases
WHERE name ^@ $1 AND expires_at < clock_timestamp() - make_interval(secs => $2) ORDER BY name;

-- name: remove
DELETE FROM index_leases WHERE name = $1 AND holder = $2 AND token = $3;
